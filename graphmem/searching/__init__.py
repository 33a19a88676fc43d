"""From a question to the scores of all passages."""
