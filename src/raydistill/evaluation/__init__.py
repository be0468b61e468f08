"""What a model is measured by, and what may be concluded. The only door to lm_eval."""
