"""Decoders, the student whose blocks leave, weights. The only door to transformers."""
