"""Blocks taken out of a checkpoint's files: the config fields that change, the end check."""
