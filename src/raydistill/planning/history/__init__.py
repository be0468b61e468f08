"""What was asked of a sweep before, and where it stands."""
