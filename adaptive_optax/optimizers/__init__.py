"""The optimizers, one file a family."""
