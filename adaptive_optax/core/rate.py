"""The learning rate in an optimizer's state, to be read, and set without compiling anew."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adaptive_optax.core.arrays import widest
from adaptive_optax.core.types import Scalar, Schedule

UNKNOWN = float(jnp.finfo(jnp.float32).min)  # in a state, where nan would be taken for a fault


class Rate(NamedTuple):
    """The learning rate that an optimizer walks by."""

    now: Any  # of the last update, before the first that of the first; the widest float, shape ()
    held: Any  # whether it stays at `now`, whatever the optimizer was built with; bool, shape ()


def first_rate(learning_rate: Scalar | Schedule | None) -> Rate | None:
    """The rate before the first update; None where there is none."""
    if learning_rate is None:
        return None
    start = learning_rate(jnp.zeros((), jnp.int32)) if callable(learning_rate) else learning_rate
    return Rate(jnp.array(start, widest()), jnp.zeros((), bool))


def keeps_rate(node: Any) -> bool:
    """Whether a part of a state keeps a learning rate that can be set."""
    return isinstance(node, Rate) or injects(node)


def injects(node: Any) -> bool:
    """Whether it is the state of `optax.inject_hyperparams` with a learning rate."""
    return "learning_rate" in (getattr(node, "hyperparams", None) or ())


def told(x: Any) -> jax.Array:
    """A number of a state as users see it: nan where it is not known."""
    return jnp.where(x == UNKNOWN, jnp.nan, x)


def with_rates_of(before: Any, fresh: Any) -> Any:
    """A fresh state with the learning rates of an older one, in which they may have been set."""

    def chosen(old: Any, new: Any) -> Any:
        if isinstance(new, Rate):
            return old
        if injects(new):
            inner = with_rates_of(old.inner_state, new.inner_state)
            return new._replace(hyperparams=old.hyperparams, inner_state=inner)
        return new

    return jax.tree.map(chosen, before, fresh, is_leaf=keeps_rate)
