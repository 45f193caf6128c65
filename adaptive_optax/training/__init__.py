"""Flax's training states, which let everything through that an optimizer wants to see."""

from adaptive_optax.training.nnx_optimizer import Optimizer as Optimizer
from adaptive_optax.training.train_state import TrainState as TrainState
