"""A plan as text: trials, costs, forecast."""
