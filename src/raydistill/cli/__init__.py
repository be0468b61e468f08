"""Flags to plans, commands to calls; computes nothing."""
