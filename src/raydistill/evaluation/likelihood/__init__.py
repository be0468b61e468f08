"""Log-likelihoods of held-out windows and of continuations."""
