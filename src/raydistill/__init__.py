"""raydistill: which layers of a language model to remove, how many, when, and from what age."""

from raydistill import former_modules as former_modules

__version__ = "0.1.0"
