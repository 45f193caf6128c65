"""The types that signatures speak in, and those of options, which say what is in range.

A field of a `Value` whose type has a check is checked when the value is built; None passes if the
type allows it, and so do traced values.
"""

from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

import jax

from adaptive_optax.core.checks import (
    check_count,
    check_fraction,
    check_non_negative,
    check_positive,
    check_steps,
)

Array: TypeAlias = jax.Array
Scalar: TypeAlias = float | jax.Array  # a hyperparameter; an array may be traced
Schedule: TypeAlias = Callable[[Any], Any]  # step count, 0 at the first update -> value
Mask: TypeAlias = Any  # tree (prefix) of bools, or a function from parameters to one

Fraction: TypeAlias = Annotated[Scalar, check_fraction]  # in [0, 1)
AtLeastZero: TypeAlias = Annotated[Scalar, check_non_negative]  # finite, at least 0
AboveZero: TypeAlias = Annotated[Scalar, check_positive]  # finite, above 0
Steps: TypeAlias = Annotated[int, check_steps]  # at least 1
Count: TypeAlias = Annotated[int, check_count]  # at least 0
