"""What everything stands on: text, durable files, columns, SQLite, the limit of failures."""
