"""Results as tables, figures, pages and progress. The only door to matplotlib and rich."""
