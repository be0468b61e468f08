"""What a report holds, as tables."""
