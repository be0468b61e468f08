"""What is kept of a teacher's distribution: one form a file."""
