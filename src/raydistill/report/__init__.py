"""Results as tables, figures and a progress view. The only door to rich and matplotlib."""
