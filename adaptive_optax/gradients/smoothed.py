"""Smoothed: a low-pass filter of the gradients, before any optimizer.

Grokfast (Lee, Kang, Kim & Lee, 2024, arXiv:2405.20233):
    m  <- decay m + (1 - decay) g          the slow part of the gradient, from 0
    g' = direct g + amplification m        what the inner optimizer gets

What the filter makes of a gradient that
    stays (its DC gain)          direct + amplification
    turns at every step          direct + amplification (1 - decay) / (1 + decay)
    is independent noise         the root of direct^2 + 2 direct amplification (1 - decay)
                                 + amplification^2 (1 - decay) / (1 + decay), of its deviation
With the paper's 0.98 and 2 these are 3, 1.02 and 1.06. A steady gradient is trebled, and so the
honest control is the same optimizer without the filter at (direct + amplification) times the
learning rate, and with a weight decay as many times smaller where the rate multiplies it. For one
to which the scale of gradients is one (Adam, Lion and most adaptive ones) it is the same optimizer
at the same rate.

One slot per parameter besides the inner state. When to use it: where the training loss is low long
before the validation loss is; as `smoothed(inner, decay, 1.0, direct=0.0, bias_correction=True)`,
the plain average, where batches are so small that the gradients are mostly noise.
Departures: the paper leaves the start of m open. It is 0 here, so that the slow part comes in over
about 1 / (1 - decay) steps; in the authors' program it is the first gradient. With
`bias_correction`, m is divided by 1 - decay^t, and the DC gain is exact from the first step on.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adaptive_optax.core.arrays import bias, bounded, debias, scaled
from adaptive_optax.core.checks import (
    check_transformation,
)
from adaptive_optax.core.map_leaves import first_leaves, map_leaves
from adaptive_optax.core.transformation import Body, Transformation, constructor
from adaptive_optax.core.types import AtLeastZero, Fraction, Scalar
from adaptive_optax.gradients.passing import pass_to_inner, unpack


class SmoothedState(NamedTuple):
    """What the filter remembers."""

    count: Any  # updates done, int32, shape (); None without bias correction
    slow: Any  # m, float32 or wider; a tree shaped like the parameters
    inner_state: Any


@constructor
def smoothed(
    inner: optax.GradientTransformation | None = None,
    decay: Scalar = 0.98,
    amplification: Scalar = 2.0,
    *,
    direct: Scalar = 1.0,
    bias_correction: bool = False,
) -> Transformation:
    """Any optimizer, on gradients whose slow part is amplified.

    Args:
      inner: a transformation of gradients; None gives the filter alone, to be chained.
      decay: of the average m, in [0, 1).
      amplification: what m is multiplied by, at least 0.
      direct: share of the gradient itself, at least 0; 0 leaves the average alone.
      bias_correction: whether m is divided by 1 - decay^t.

    Returns:
      A transformation that forwards extra arguments. The filtered gradient of a steady one is
      direct + amplification times as large.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range.

    >>> import adaptive_optax as ao, jax.numpy as jnp
    >>> tx = smoothed(ao.sgd(1.0), decay=0.5, amplification=2.0)
    >>> params = jnp.array(0.0)
    >>> state, steps = tx.init(params), []
    >>> for g in (4.0, 4.0, -4.0):
    ...     updates, state = tx.update(jnp.array(g), state, params)
    ...     steps.append(float(updates))
    >>> steps
    [-8.0, -10.0, 5.0]
    """
    if inner is not None:
        check_transformation(inner=inner)
    wrapped = optax.with_extra_args_support(optax.identity() if inner is None else inner)
    return Smoothed(wrapped, decay, amplification, direct, bias_correction).transformation()


class Smoothed(Body):
    """An optimizer on gradients whose slow part is amplified."""

    inner: optax.GradientTransformationExtraArgs
    decay: Fraction
    amplification: AtLeastZero
    direct: AtLeastZero
    bias_correction: bool

    @property
    def members(self) -> dict[str, optax.GradientTransformation]:
        alone = self.call is not None and self.call.arguments["inner"] is None
        return {} if alone else {"inner": self.inner}

    def init(self, params: Any) -> SmoothedState:
        count = jnp.zeros((), jnp.int32) if self.bias_correction else None
        slow = first_leaves(jnp.zeros_like, params)
        return SmoothedState(count, slow, self.inner.init(params))

    def update(
        self, grads: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, SmoothedState]:
        count = None if state.count is None else optax.safe_increment(state.count)
        weight = None if count is None else _bias(self.decay, count)
        shared = (self.decay, 1 - self.decay, self.amplification, self.direct, weight)
        wide = unpack(self.name, grads, params)
        found, slow = map_leaves(
            self.name, _filtered, wide, None, state.slow, shared=shared, keeps=1
        )
        updates, inner_state = pass_to_inner(
            self.inner, grads, found, state.inner_state, params, extra_args
        )
        return updates, SmoothedState(count, slow, inner_state)


_bias = jax.jit(bias)


def _filtered(
    g: jax.Array,
    p: Any,
    slow: jax.Array,
    decay: Scalar,
    rest: Scalar,
    amplification: Scalar,
    direct: Scalar,
    weight: Any,
) -> tuple[jax.Array, jax.Array]:
    """The gradient with its slow part amplified, and the slow part; rest is 1 - decay."""
    # Beyond this the sum would overflow.
    g = bounded(g, float(jnp.finfo(g.dtype).max) / (1.0 + direct + amplification))
    slow = scaled(slow, decay) + scaled(g, rest)
    amplified = slow if weight is None else debias(slow, weight)
    return scaled(g, direct) + scaled(amplified, amplification), slow
