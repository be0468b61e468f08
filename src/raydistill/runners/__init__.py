"""Where work runs: on Ray, here or on a cluster. The only door to ray and optuna."""
