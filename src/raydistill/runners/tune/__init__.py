"""Trials by Ray Tune, on several devices by Ray Train."""
