"""`metrics`: what a state knows of the training, as a flat dict of scalars."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from adaptive_optax.core.rate import told
from adaptive_optax.introspection.rate_access import learning_rate_of
from adaptive_optax.monitoring.monitored import MonitoredState


def metrics(state: Any) -> dict[str, jax.Array]:
    """What an optimizer's state knows of the training, by name.

    Of a `monitored` optimizer: "learning_rate", "gradient_norm", "update_norm", "parameter_norm",
    "update_ratio", "cosine", "gradient_noise" and "loss" (where `value=` is given at update), as
    `monitored` explains them; of its groups "name/group", such as "update_norm/encoder"; and
    "step", the updates done, "clipped", of how many the gradient was clipped (by
    `optax.clip_by_global_norm`, where it is the first thing done), and "skipped", how many were not
    made since something was not finite. What is not known yet is nan. Of any other optimizer:
    "learning_rate" where its state keeps it, and "skipped". Of `blend` and `switch` in either:
    "weight/name" and, 1 for the member that makes the next update, "active/name". Of `guarded`:
    "guarded/refused", "guarded/consecutive", and of how many steps each reason was the first,
    "guarded/gradient", "guarded/loss", "guarded/norm", "guarded/update" and "guarded/state".

    Args:
      state: optimizer state, of any nesting of chains and wrappers; may be traced, so that a
        training loop under `jax.lax.scan` can return it.

    Returns:
      Scalars: float32, the counts int32. The names are the same at every step.

    >>> import adaptive_optax as ao, jax.numpy as jnp, optax
    >>> tx = ao.monitored(optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.1)))
    >>> params = jnp.array([3.0, 4.0])
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> seen = metrics(state)
    >>> int(seen["step"]), int(seen["clipped"]), round(float(seen["learning_rate"]), 4)
    (1, 1, 0.1)
    """
    found: dict[str, Any] = {}
    pairs = jax.tree_util.tree_flatten_with_path(state, is_leaf=_is_monitored)[0]
    for path, node in pairs:
        if _is_monitored(node):
            place = "".join(f"/{key.key}" for key in path if hasattr(key, "key"))
            own = {"step": node.count, **_nan_if_unknown(node.seen), "clipped": node.clipped}
            found |= {f"{name}{place}": value for name, value in own.items()}
    if not found:
        try:
            rates = learning_rate_of(state)
        except ValueError:  # the state keeps none
            rates = {}
        if isinstance(rates, dict):
            found |= {f"learning_rate/{name}": rate for name, rate in rates.items()}
        else:
            found["learning_rate"] = rates
    for name, value in _own(state):
        found.setdefault(name, value)
    return found | {"skipped": _skipped(state)}


def _is_monitored(node: Any) -> bool:
    return isinstance(node, MonitoredState)


@jax.jit  # one dispatch
def _nan_if_unknown(seen: dict[str, Any]) -> dict[str, Any]:
    return jax.tree.map(told, seen)


def _own(state: Any) -> Iterator[tuple[str, jax.Array]]:
    """Yield the metrics that wrappers have of themselves, the outer ones first."""
    for node in jax.tree.leaves(state, is_leaf=lambda x: hasattr(x, "own_metrics")):
        if hasattr(node, "own_metrics"):
            for name, value in node.own_metrics.items():
                counts = jnp.issubdtype(jnp.asarray(value).dtype, jnp.integer)
                yield name, jnp.asarray(value, jnp.int32 if counts else jnp.float32)
            yield from _own(node.inner_states)


def _skipped(state: Any) -> jax.Array:
    """Return how many updates the wrappers in a state have refused."""

    def counts(node):
        return hasattr(node, "total_notfinite") or hasattr(node, "skipped")

    total = jnp.zeros((), jnp.int32)
    for node in filter(counts, jax.tree.leaves(state, is_leaf=counts)):
        total = total + getattr(node, "total_notfinite", 0) + getattr(node, "skipped", 0)
        total = total + (_skipped(node.inner_state) if hasattr(node, "inner_state") else 0)
    return total
