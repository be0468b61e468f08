"""Checkpoints in the form of Hugging Face: read, written, registered."""
