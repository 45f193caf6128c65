"""Checkpoints: whole files, and states that move from one optimizer to another by name."""
