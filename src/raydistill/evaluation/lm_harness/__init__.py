"""Zero-shot tasks by lm-eval: definitions, data, our model as it knows models."""
