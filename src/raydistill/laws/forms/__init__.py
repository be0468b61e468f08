"""What a law may look like: one form a file."""
