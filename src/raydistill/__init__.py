"""raydistill: which layers of a language model to remove, how many, when, and from what age."""

__version__ = "0.1.0"
