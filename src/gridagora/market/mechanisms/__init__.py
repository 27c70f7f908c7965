"""market/mechanisms."""
