"""The types that signatures speak in."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax

Scalar: TypeAlias = float | jax.Array  # a hyperparameter; an array may be traced
Schedule: TypeAlias = Callable[[Any], Any]  # step count, 0 at the first update -> value
Mask: TypeAlias = Any  # tree (prefix) of bools, or a function from parameters to one
