"""From a question to distinct trials: sweep, cells, resolve, preview, search decisions, history."""
