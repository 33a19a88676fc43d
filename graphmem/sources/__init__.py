"""From files, folders and streams to passages."""
