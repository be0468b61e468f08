"""Importance scores of layers: one file each."""
