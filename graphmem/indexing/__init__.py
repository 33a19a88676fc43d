"""From passages to the store, and from the store to a snapshot."""
