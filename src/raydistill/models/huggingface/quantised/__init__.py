"""Quantised checkpoints: which form one is in, and its weights as bfloat16 in a stock folder."""
