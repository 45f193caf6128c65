"""Checkpoints: whole files, and states that move from one optimizer to another by name."""

from adaptive_optax.checkpoint.compared import Comparison as Comparison
from adaptive_optax.checkpoint.compared import compared as compared
