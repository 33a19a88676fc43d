"""From rankings and answers to measures, and their comparison."""
