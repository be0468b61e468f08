"""Text for a terminal, a file or a pipe."""
