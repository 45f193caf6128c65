"""The gradient noise scale: the batch size at which noise and signal of a gradient are one.

McCandlish, Kaplan, Amodei & the OpenAI Dota team, 2018, arXiv:1812.06162, section 2.2 and appendix
A.1. Of the mean gradients g_i of n micro-batches of b examples each, with m the mean of all g_i:

    S  = b / (n - 1)  sum_i |g_i - m|^2       the trace of one example's covariance
    G2 = |m|^2 - S / (n b)                    the squared norm of the true gradient
    noise scale = S / G2

Up to batches of about this many examples twice the batch is worth nearly twice the rate and half
the steps; far beyond it, next to nothing. S and G2 have no bias, and are what the appendix makes of
the squared norms at two batch sizes, b and n b. Their quotient has one, and is very noisy: average
both over steps first, by `NoiseScale.averaged`. Departures: none.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adaptive_optax.core.arrays import divided_by_largest, ema, scaled, wide, working_dtype
from adaptive_optax.core.checks import check_fraction, check_steps
from adaptive_optax.core.leaves import is_none, is_trained
from adaptive_optax.core.types import Scalar


class NoiseScale(NamedTuple):
    """An estimate of the gradient noise scale; scalars, float32 or wider."""

    noise_scale: Any  # trace / squared_norm, in examples; inf where squared_norm is not above 0
    trace: Any  # S, of the covariance of one example's gradient; at least 0
    squared_norm: Any  # G2, of the true gradient; below 0 where noise hides it

    def averaged(self, before: "NoiseScale | None" = None, decay: Scalar = 0.95) -> "NoiseScale":
        """The averages of trace and squared norm with this estimate in them, and their quotient.

        In a loop or a scan: `average = gradient_noise_scale(micro_grads, b).averaged(average)`. Of
        estimates that are stacked, as vmap and scan give them, it is instead
        `jnp.mean(found.trace) / jnp.mean(found.squared_norm)`.

        Args:
          before: what this gave at the step before; None starts with this estimate alone.
          decay: of the exponential averages, in [0, 1).

        Raises:
          ValueError: for a decay out of range.

        >>> import jax.numpy as jnp
        >>> average = None
        >>> for g in ([2.0, 4.0], [2.0, 0.0]):
        ...     average = gradient_noise_scale(jnp.array(g)).averaged(average, decay=0.5)
        >>> [float(x) for x in average]
        [0.5, 2.0, 4.0]
        """
        check_fraction("NoiseScale.averaged", decay=decay)
        if before is None:
            return self
        trace, squared_norm = (
            ema(old, new, decay) for old, new in zip(before[1:], self[1:], strict=True)
        )
        return NoiseScale(_quotient(trace, squared_norm), trace, squared_norm)


def gradient_noise_scale(micro_grads: Any, batch_size: int = 1) -> NoiseScale:
    """The noise scale of gradients, from those of n micro-batches; see the module's formula.

    It can be jitted and vmapped, and `jax.vmap(jax.grad(loss), (None, 0))(params, micro_batches)`
    gives what it takes. Squares neither overflow nor vanish on the way to the noise scale; trace
    and squared norm are at most the largest number of their dtype, and 0 below the smallest.

    Args:
      micro_grads: a tree of mean gradients, each leaf with a first axis of n >= 2 micro-batches.
        None, integer, bool and float0 leaves are passed over.
      batch_size: examples in a micro-batch, at least 1.

    Returns:
      `NoiseScale(noise_scale, trace, squared_norm)`. The noise scale is inf where the squared norm
      is not above 0, which a single estimate often is; all are nan for gradients not finite.

    Raises:
      TypeError, ValueError: for a batch size of the wrong kind or range, or leaves without a
        common first axis of at least 2.

    >>> import jax.numpy as jnp
    >>> found = gradient_noise_scale({"w": jnp.array([[2.0, 1.0], [4.0, 1.0]])}, batch_size=9)
    >>> [float(x) for x in found]
    [2.0, 18.0, 9.0]
    """
    check_steps("gradient_noise_scale", batch_size=batch_size)
    leaves, count = _leaves(micro_grads)
    if not leaves:
        return NoiseScale(wide(jnp.inf), wide(0.0), wide(0.0))
    modulus = jnp.stack([wide(jnp.max(jnp.abs(x), initial=0.0)) for x in leaves])
    largest = jax.lax.stop_gradient(jnp.max(modulus))
    deviation, norm = wide(0.0), wide(0.0)
    for x in leaves:
        x = divided_by_largest(x, largest)
        mean = jnp.mean(x, axis=0, keepdims=True)
        deviation += wide(_squares(x - mean))
        norm += wide(_squares(mean))
    size = wide(batch_size)
    trace = deviation * (size / (count - 1))
    squared_norm = norm - trace / (size * count)
    return NoiseScale(
        _quotient(trace, squared_norm),
        _times_square(trace, largest),
        _times_square(squared_norm, largest),
    )


def _leaves(micro_grads: Any) -> tuple[list[jax.Array], int]:
    """The trained leaves in the dtype to compute in, and how many micro-batches they are of.

    Raises:
      ValueError: where they have no common first axis of at least 2.
    """
    leaves, count = [], 0
    for path, x in jax.tree_util.tree_flatten_with_path(micro_grads, is_leaf=is_none)[0]:
        x = x if x is None or hasattr(x, "dtype") else jnp.asarray(x)
        if not is_trained(x):
            continue
        length = x.shape[0] if x.ndim else 0
        count = count or length
        if length < 2 or length != count:
            place = jax.tree_util.keystr(path) or "the root"
            others = "" if length == count else f", where others have {count}"
            raise ValueError(
                f"gradient_noise_scale(micro_grads=...): at {place} the shape is {list(x.shape)}"
                f"{others}; every leaf must have the same first axis, of at least 2 micro-batches, "
                f"as jax.vmap(jax.grad(loss), (None, 0))(params, micro_batches) gives it."
            )
        leaves.append(jnp.asarray(x).astype(working_dtype(x.dtype)))
    return leaves, count


def _squares(x: jax.Array) -> jax.Array:
    """The sum of |x|^2."""
    return jnp.sum((x.conj() * x).real)


def _quotient(trace: jax.Array, squared_norm: jax.Array) -> jax.Array:
    """S / G2; inf where G2 is not above 0."""
    known = jnp.where(squared_norm <= 0, 1.0, squared_norm)
    return jnp.where(squared_norm <= 0, jnp.inf, trace / known)


def _times_square(x: jax.Array, largest: jax.Array) -> jax.Array:
    """X largest^2, at most the largest number."""
    most = float(jnp.finfo(x.dtype).max)
    return jnp.clip(scaled(scaled(x, largest), largest), -most, most)
