"""Sophia: momentum over a diagonal of the Hessian, clipped (Liu et al., 2023, arXiv:2305.14342).

    mu <- b1 mu + (1 - b1) g
    every k-th step, from the first: nu <- b2 nu + (1 - b2) estimate
    d = clip(mu / max(gamma nu, eps), +- 1)

Two slots per parameter. When to use it: language models, where an estimate of the Hessian every
tenth step is cheap beside the steps. The estimate comes with the update, `tx.update(grads, state,
params, hessian=...)`: a tree shaped like the parameters, or a function from the parameters to one,
which runs at every k-th step only. `hutchinson` and `gauss_newton_bartlett` make such estimates.
Departures: none. The authors' code has b1 = 0.965 and multiplies the estimate
by the batch size, as `gauss_newton_bartlett` does; optax corrects the bias of mu.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adaptive_optax.core.arrays import (
    clipped,
    divided,
    ema,
    floored,
    real_slot,
    scaled,
    zeros_slot,
)
from adaptive_optax.core.checks import (
    check_function,
    check_params,
)
from adaptive_optax.core.descend import descend
from adaptive_optax.core.lifting import Call, lift
from adaptive_optax.core.roles import Signed
from adaptive_optax.core.rule import Moved, Rule, Step
from adaptive_optax.core.transformation import Transformation, constructor
from adaptive_optax.core.types import (
    AboveZero,
    Array,
    AtLeastZero,
    Fraction,
    Mask,
    Scalar,
    Schedule,
    Steps,
)
from adaptive_optax.core.value import Value
from adaptive_optax.optimizers.record import OptimizerRecord

Estimate = Callable[[Any], Any]  # params -> tree of estimates


class SophiaSlots(NamedTuple):
    """What Sophia remembers."""

    mu: Signed  # average gradient
    nu: Signed  # average of the Hessian's diagonal


class Sophia(Rule):
    """Sophia's direction.

    Args:
      b1: decay of the mean, in [0, 1).
      b2: decay of the Hessian's diagonal, in [0, 1).
      gamma: share of the diagonal that mu is divided by, above 0; smaller clips more. The paper
        takes 0.01 with Hutchinson's estimate and 0.05 with Gauss-Newton-Bartlett's.
      eps: the least denominator, at least 0; where the diagonal is negative too.
      every: steps from one estimate to the next, at least 1.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range; at update, where no
        estimate is given, or one of another structure.
    """

    b1: Fraction = 0.96
    b2: Fraction = 0.99
    gamma: AboveZero = 0.01
    eps: AtLeastZero = 1e-12
    every: Steps = 10

    Slots = SophiaSlots

    def init(self, p: Any) -> SophiaSlots:
        return SophiaSlots(mu=zeros_slot(p), nu=real_slot(p))

    def per_step(self, step: Step) -> Any:
        return (step.count - 1) % self.every == 0

    def update(self, g: Array, slots: SophiaSlots, p: Any, step: Step) -> Moved[SophiaSlots]:
        due, estimate = step.shared, step.extra
        mu = ema(slots.mu, g, self.b1)
        nu = jnp.where(due, ema(slots.nu, estimate.real, self.b2), slots.nu)
        size = floored(jnp.maximum(scaled(nu, self.gamma), jnp.asarray(self.eps, nu.dtype)))
        return clipped(divided(mu, size), 1.0), SophiaSlots(mu, nu)


class Estimates(Value):
    """The estimate of each leaf: the one that the update brings, or that a function makes."""

    hessian: Estimate | None
    every: int

    def check(self) -> None:
        if self.hessian is not None:
            check_function(hessian=self.hessian)

    def __call__(self, call: Call) -> list[Any]:
        given = call.extra_args.get("hessian", self.hessian)
        if given is None:
            raise ValueError(
                "sophia.update needs an estimate of the Hessian's diagonal; call tx.update(grads, "
                "state, params, hessian=tree), or with a function from params to one."
            )
        if callable(given):
            check_params("sophia", "hessian", call.params)
            given = _when_due(given, call.params, call.count % self.every == 0)
        try:
            return list(call.treedef.flatten_up_to(given))
        except ValueError as error:
            raise ValueError(
                f"sophia.update(hessian=...): hessian must be a tree like the gradients: {error}"
            ) from error


@constructor
def scale_by_sophia(
    b1: Scalar = 0.96,
    b2: Scalar = 0.99,
    gamma: Scalar = 0.01,
    eps: Scalar = 1e-12,
    every: int = 10,
    hessian: Estimate | None = None,
) -> Transformation:
    """Sophia's direction.

    Args:
      b1: decay of the mean, in [0, 1).
      b2: decay of the Hessian's diagonal, in [0, 1).
      gamma: share of the diagonal that mu is divided by, above 0; smaller clips more. The paper
        takes 0.01 with Hutchinson's estimate and 0.05 with Gauss-Newton-Bartlett's.
      eps: the least denominator, at least 0; where the diagonal is negative too.
      every: steps from one estimate to the next, at least 1.
      hessian: a function from the parameters to estimates, for updates that do not bring their
        own as `tx.update(..., hessian=...)`.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range; at update, where no
        estimate is given, or one of another structure.
    """
    rule = Sophia(b1, b2, gamma, eps, every)
    return lift(rule, extras=Estimates(hessian, every)).transformation()


@constructor
def sophia(
    learning_rate: Scalar | Schedule,
    *,
    b1: Scalar = 0.96,
    b2: Scalar = 0.99,
    gamma: Scalar = 0.01,
    eps: Scalar = 1e-12,
    every: int = 10,
    hessian: Estimate | None = None,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
) -> Transformation:
    """Sophia, the direction of `scale_by_sophia` with `descend`'s decoupled weight decay.

    >>> import jax, jax.numpy as jnp
    >>> loss = lambda p: 50 * p**2
    >>> tx = sophia(1.0, b1=0.0, b2=0.0, gamma=1.0)
    >>> params = jnp.array(0.5)
    >>> updates, _ = tx.update(
    ...     jax.grad(loss)(params), tx.init(params), params, hessian=jax.grad(jax.grad(loss))
    ... )
    >>> float(params + updates)
    0.0
    """
    direction = scale_by_sophia(b1, b2, gamma, eps, every, hessian)
    return descend(direction, learning_rate, weight_decay=weight_decay, mask=mask)


def hutchinson(loss_fn: Callable[[Any], Array], params: Any, key: Array) -> Any:
    """Hutchinson's estimate of the Hessian's diagonal: v * (H v) for random signs v.

    Args:
      loss_fn: from the parameters to a real scalar; close over the batch.
      params: a tree of real arrays.
      key: a `jax.random` key, another one for each estimate.

    Returns:
      A tree like params, whose mean over keys is the diagonal. Exact where the Hessian is
      diagonal. It costs about two gradients.

    >>> import jax, jax.numpy as jnp
    >>> loss = lambda p: jnp.sum(jnp.array([1.0, 2.0]) * p**2)
    >>> hutchinson(loss, jnp.zeros(2), jax.random.key(0)).tolist()
    [2.0, 4.0]
    """
    check_function("hutchinson", loss_fn=loss_fn)
    leaves, treedef = jax.tree.flatten(params)
    keys = jax.random.split(key, max(len(leaves), 1))
    signs = [jax.random.rademacher(k, p.shape, p.dtype) for k, p in zip(keys, leaves, strict=False)]
    v = jax.tree.unflatten(treedef, signs)
    curved = jax.jvp(jax.grad(loss_fn), (params,), (v,))[1]
    return jax.tree.map(lambda sign, hv: sign * hv, v, curved)


def gauss_newton_bartlett(logits_fn: Callable[[Any], Array], params: Any, key: Array) -> Any:
    """The Gauss-Newton-Bartlett estimate: n times the squared gradient under sampled labels.

    Args:
      logits_fn: from the parameters to logits, shape (..., classes); close over the batch.
      params: a tree of real arrays.
      key: a `jax.random` key, another one for each estimate.

    Returns:
      A tree like params of numbers of at least 0, whose mean over keys is the diagonal of the
      Gauss-Newton matrix of the mean cross-entropy over the n examples. It costs one gradient.

    >>> import jax, jax.numpy as jnp
    >>> logits = lambda p: p * jnp.array([[1.0, -1.0]])
    >>> float(gauss_newton_bartlett(logits, jnp.array(0.0), jax.random.key(0)))
    1.0
    """
    check_function("gauss_newton_bartlett", logits_fn=logits_fn)

    def sampled_loss(params: Any) -> tuple[Array, Array]:
        logits = logits_fn(params)
        labels = jax.random.categorical(key, jax.lax.stop_gradient(logits))
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[..., None], axis=-1)
        return -jnp.mean(chosen), jnp.asarray(labels.size, logits.dtype)

    grads, examples = jax.grad(sampled_loss, has_aux=True)(params)
    return jax.tree.map(lambda g: scaled(g * g, examples), grads)


def _when_due(estimate: Estimate, params: Any, due: Array) -> Any:
    """What the function gives at due steps, zeros at others, where it does not run."""
    shapes = jax.eval_shape(estimate, params)
    return jax.lax.cond(due, estimate, lambda _: jax.tree.map(jnp.zeros_like, shapes), params)


RECORDS = (
    OptimizerRecord(
        constructor=sophia,
        rule=Sophia,
        family="curvature",
        formula="d = clip(mu / (gamma nu), 1), nu of the Hessian's diagonal",
        when="language models, where curvature can be estimated",
        learning_rate=0.01,
        presets={"paper": {}},
        needs="hessian",
        note="exact Hessian diagonal",
    ),
)
