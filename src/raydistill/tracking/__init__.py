"""Results in MLflow: written from the store, by the driver only, each of them exactly once."""
