"""Results for eyes and for programs."""
