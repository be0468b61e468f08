"""The memory of a training: what it should take, and what it took."""
