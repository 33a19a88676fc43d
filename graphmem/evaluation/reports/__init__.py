"""From scores to tables, charts and a page."""
