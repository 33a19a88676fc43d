"""What an index holds on disk: the store, which is the truth, and the snapshots derived from it."""
