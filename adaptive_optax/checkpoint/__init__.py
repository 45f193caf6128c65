"""Checkpoints: whole files, and states that move from one optimizer to another by name."""

from adaptive_optax.checkpoint.load_preview import LoadPreview as LoadPreview
from adaptive_optax.checkpoint.load_preview import compared as compared
