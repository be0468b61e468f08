"""Probes: their labelled items, and their scores in the store."""
