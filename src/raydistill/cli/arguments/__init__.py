"""Flags and their values."""
