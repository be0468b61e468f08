"""Which cells are trained, and how far: successive halving, brackets, conclusions."""
