"""Optimizers compared on one task under one protocol; behind `adaptive-optax compare`."""
