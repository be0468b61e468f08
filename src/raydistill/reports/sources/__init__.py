"""Where a report's cells come from."""
