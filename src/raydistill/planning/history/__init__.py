"""Records of sweeps that were run before, and the state of their trials."""
