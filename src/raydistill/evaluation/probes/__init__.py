"""Probes, which a model is fine-tuned on: one file each."""
