"""One run from its config to its last checkpoint: building, the training loop, state on disk."""
