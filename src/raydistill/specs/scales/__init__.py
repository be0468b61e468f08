"""Scales: one file each."""
