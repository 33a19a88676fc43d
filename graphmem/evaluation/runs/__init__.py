"""From an experiment to rankings and answers on disk."""
