"""What each command of `raydistill` does."""
