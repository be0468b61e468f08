"""What runs on a worker: the loop, optimizers, checkpoints, resume, pretraining, one trial."""
