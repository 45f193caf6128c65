"""Steps that are not taken: counted by their reasons, and too many of them told to the host."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adaptive_optax.core.types import Scalar
from adaptive_optax.wrappers.nonfinite import Reason


class Refusals(NamedTuple):
    """How many steps were refused, each counted once, for the first reason that held; int32."""

    gradient: Any  # it was not finite
    loss: Any  # it was not finite, or a spike
    norm: Any  # the gradient's norm was a spike
    update: Any  # it, or a parameter after it, was not finite
    state: Any  # the inner state after it was not finite

    @property
    def total(self) -> Any:
        """All of them."""
        return sum(self[1:], self[0])


def none_refused() -> Refusals:
    """Before the first step."""
    return Refusals(*(jnp.zeros((), jnp.int32) for _ in Refusals._fields))


def one_more(refusals: Refusals, reason: jax.Array) -> Refusals:
    """One more for the `Reason` of a step; the same if it is 0."""
    return Refusals(
        *(
            n + (reason == Reason[name.upper()]).astype(n.dtype)
            for name, n in refusals._asdict().items()
        )
    )


def raise_at(limit: Scalar, consecutive: jax.Array, refusals: Refusals) -> None:
    """Raises on the host once so many steps in a row were refused.

    Args:
      limit: refusals in a row, at least 1.
      consecutive: of them so far.
      refusals: of all steps, for the message.

    Raises:
      RuntimeError: at once where nothing is traced. In a compiled program a callback raises it, and
        the error comes out as `jax.errors.JaxRuntimeError`, a RuntimeError, with its text.
    """
    if not isinstance(consecutive, jax.core.Tracer):
        _raise(limit, consecutive, refusals)
        return

    def tell() -> None:
        jax.debug.callback(_raise, limit, consecutive, refusals)

    # A callback costs a host's attention: only where it will raise. Under vmap a cond runs both.
    jax.lax.cond(consecutive >= limit, tell, lambda: None)


def _raise(limit: Any, consecutive: Any, refusals: Refusals) -> None:
    if int(consecutive) < int(limit):
        return
    counts = ", ".join(f"{name} {int(n)}" for name, n in refusals._asdict().items() if int(n))
    raise RuntimeError(
        f"guarded(limit={int(limit)}): {int(consecutive)} steps in a row were refused ({counts} of "
        f"all steps); parameters and state before this step are the last good ones. Look at what "
        f"these batches have in common; lower the learning rate, or raise limit or the sigmas."
    )
