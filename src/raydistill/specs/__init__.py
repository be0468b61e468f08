"""Frozen values and integers: what a trial is, what came of it, locations, FLOPs, scales."""
