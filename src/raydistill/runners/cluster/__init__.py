"""The Ray cluster: connecting, tasks, stops, failures."""
