"""Guarded: a step that would do harm is not taken, as though its batch had never been seen.

A step is refused where
    a gradient, the loss, the update, a parameter after it or the inner state is not finite, or
    loss > mean + loss_sigmas spread                     of the losses of the steps that were taken
    log |g| > mean + norm_sigmas spread                  of the logarithms of their gradients' norms

Then the update is -0.0, which leaves every bit of p + u, and the inner state, schedules and counts
in it too, is the one before. Means and spreads are of about the last `window` steps.
Six scalars of state, and three more for each of the two spikes. When to use it: in long runs,
around the whole optimizer, where what it refuses is what moves the parameters.

Under accumulation, `guarded(multi_steps(inner, every))` leaves out a bad micro-batch, and the
window waits for another; `multi_steps(guarded(inner), every)` leaves out the window with one.

A spike is told by z-score, as in ZClip (Kumar, Owen, Chowdhury & Güra, 2025, arXiv:2504.02507);
that spiking batches are better left out is from PaLM (Chowdhery et al., 2022, arXiv:2204.02311).
Departures: ZClip shortens the gradient, here nothing of it is taken; norms count by their
logarithms, since they differ by factors; PaLM goes back to a checkpoint, here it never gets so far.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adaptive_optax.core.arrays import narrowed, norm, norm_of_all
from adaptive_optax.core.checks import (
    check_range,
    check_transformation,
)
from adaptive_optax.core.feedback import multiplied, value_of
from adaptive_optax.core.leaves import flat, is_trained
from adaptive_optax.core.lifting import wide_view
from adaptive_optax.core.transformation import Body, Transformation, constructor
from adaptive_optax.core.types import AboveZero, Scalar, Steps
from adaptive_optax.wrappers.nonfinite import Reason, reasons, worst
from adaptive_optax.wrappers.skip_counts import Refusals, none_refused, one_more, raise_at
from adaptive_optax.wrappers.spike_detection import (
    OF_LOSS,
    OF_NORM,
    Judgement,
    Running,
    judged,
    no_numbers,
)


class GuardedState(NamedTuple):
    """What the wrapper remembers."""

    refusals: Refusals  # steps refused, by their reasons
    consecutive: Any  # refused since the last that was taken, int32, shape ()
    loss: Any  # `Running` losses; None without loss_sigmas
    norm: Any  # `Running` logarithms of norms; None without norm_sigmas
    scale: Any  # what updates are multiplied by, float32, shape (); None without backoff
    inner_state: Any

    @property
    def rate_factor(self) -> Any:
        """What it makes of the learning rate; None where it leaves it."""
        return self.scale

    @property
    def skipped(self) -> Any:
        """Steps refused, all of them."""
        return self.refusals.total

    @property
    def own_metrics(self) -> dict[str, Any]:
        """What `metrics` shows of it."""
        found = {"refused": self.skipped, "consecutive": self.consecutive}
        found |= self.refusals._asdict()
        found |= {} if self.scale is None else {"scale": self.scale}
        return {f"guarded/{name}": value for name, value in found.items()}

    @property
    def inner_states(self) -> Any:
        """Where `metrics` looks further."""
        return self.inner_state


@constructor
def guarded(
    inner: optax.GradientTransformation,
    *,
    loss_sigmas: Scalar | None = None,
    norm_sigmas: Scalar | None = None,
    window: int = 100,
    warm_up: int = 20,
    backoff: Scalar | None = None,
    recovery: Scalar = 1.01,
    min_scale: Scalar = 0.01,
    limit: int | None = None,
) -> Transformation:
    """Any optimizer, without the steps that would do harm.

    A lasting rise of loss or norm is refused for as long as it lasts, since only steps that were
    taken count in the means: give `limit`, or watch "guarded/consecutive" in `metrics(state)`.

    Args:
      inner: a transformation whose updates are added to the parameters.
      loss_sigmas: spreads above its mean from which a loss, `value=` at update, is refused, above
        0, such as 6; None takes any that is finite. The spread is at least 1 % of the mean.
      norm_sigmas: the same of the logarithm of the gradient's norm; the spread is at least 0.1,
        so that with 6 a norm of 1.8 times the usual one is always taken.
      window: steps that mean and spread are over, at least 2.
      warm_up: steps taken before a loss or norm is judged, at least 1.
      backoff: factor on the learning rate for each step refused, in (0, 1); None leaves it. It
        scales the whole update, weight decay too; keep `lookahead` and others that have weights of
        their own outside then.
      recovery: factor on it for each further step taken, until it is 1 again, at least 1.
      min_scale: what `backoff` does not go below, in (0, 1].
      limit: steps refused in a row at which an error is raised, at least 1; None refuses for ever.

    Returns:
      A transformation that forwards extra arguments. It needs `value=` at update for loss_sigmas,
      and refuses one that is not finite in any case.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range; at update, where value is
        missing for loss_sigmas, or no scalar.
      RuntimeError: at `limit`. Outside of jit the update raises it. Within, the compiled step
        fails: `jax.errors.JaxRuntimeError`, a RuntimeError, comes from the call or from the first
        thing that waits for its results, which are lost; the state that went into it is still good
        unless it was donated. A program with a limit cannot be exported.

    >>> import adaptive_optax as ao, jax.numpy as jnp
    >>> tx = guarded(ao.sgd(1.0, momentum=0.5))
    >>> params = jnp.array(0.0)
    >>> state = tx.init(params)
    >>> for g in (-1.0, float("nan"), -1.0):
    ...     updates, state = tx.update(jnp.array(g), state, params)
    ...     params = params + updates
    >>> float(params), int(ao.metrics(state)["guarded/refused"])
    (2.5, 1)
    """
    check_transformation(inner=inner)
    wrapped = optax.with_extra_args_support(inner)
    options = (loss_sigmas, norm_sigmas, window, warm_up, backoff, recovery, min_scale, limit)
    return Guarded(wrapped, *options).transformation()


class Guarded(Body):
    """An optimizer without the steps that would do harm."""

    inner: optax.GradientTransformationExtraArgs
    loss_sigmas: AboveZero | None
    norm_sigmas: AboveZero | None
    window: Steps
    warm_up: Steps
    backoff: AboveZero | None
    recovery: AboveZero
    min_scale: AboveZero
    limit: Steps | None

    passes_gradients = True

    def check(self) -> None:
        check_range("lie in (0, 1)", lambda x: x < 1, backoff=self.backoff)
        check_range("be at least 2", lambda x: x >= 2, window=self.window)
        check_range("be at least 1", lambda x: x >= 1, recovery=self.recovery)
        check_range("lie in (0, 1]", lambda x: x <= 1, min_scale=self.min_scale)

    def init(self, params: Any) -> GuardedState:
        return GuardedState(
            refusals=none_refused(),
            consecutive=jnp.zeros((), jnp.int32),
            loss=None if self.loss_sigmas is None else no_numbers(),
            norm=None if self.norm_sigmas is None else no_numbers(),
            scale=None if self.backoff is None else jnp.ones((), jnp.float32),
            inner_state=self.inner.init(params),
        )

    def update(
        self, grads: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, GuardedState]:
        updates, inner_state = self.inner.update(grads, state.inner_state, params, **extra_args)
        scale = lower = None
        if self.backoff is not None:
            scale, lower = self._scales(state)
            updates = multiplied(updates, scale)
        bad_loss, loss = self._judged_loss(state.loss, extra_args)
        bad_norm, known_norm = self._judged_norm(state.norm, grads)
        found = [jnp.where(bad_loss, Reason.LOSS, 0), jnp.where(bad_norm, Reason.NORM, 0)]
        found += reasons(grads, updates, params, state.inner_state, inner_state)
        reason = worst(found)
        taken = reason == 0
        refusals = one_more(state.refusals, reason)
        consecutive = jnp.where(taken, 0, state.consecutive + 1)
        if self.limit is not None:
            raise_at(self.limit, consecutive, refusals)
        leaves, treedef = flat(updates)
        updates = jax.tree.unflatten(treedef, [_or_still(taken, u) for u in leaves])
        before = (state.loss, state.norm, state.inner_state)
        loss, known_norm, inner_state = _either(taken, (loss, known_norm, inner_state), before)
        scale = _either(taken, scale, lower)
        return updates, GuardedState(refusals, consecutive, loss, known_norm, scale, inner_state)

    def factor(self, before: Any, after: Any, params: Any) -> Any:
        return after.scale

    def _judged_loss(self, known: Any, extra_args: dict[str, Any]) -> tuple[jax.Array, Any]:
        """Whether the loss is to be refused, and what is known with it."""
        if self.loss_sigmas is None:
            given = flat(extra_args.get("value"))[0]
            bad = [~jnp.all(jnp.isfinite(x)) for x in given if is_trained(x)]
            return jnp.array(False) if not bad else bad[0], None
        value = value_of(self.name, extra_args)
        by = Judgement(self.loss_sigmas, self.window, self.warm_up)
        spike, known = judged(by, known, value, OF_LOSS * jnp.abs(known.mean))
        return ~jnp.isfinite(value) | spike, known

    def _judged_norm(self, known: Any, grads: Any) -> tuple[jax.Array, Running | None]:
        """The same of the gradient's norm; a norm of 0 is no number to know."""
        if self.norm_sigmas is None:
            return jnp.array(False), None
        size = norm_of_all([_norm(g) for g in flat(grads)[0] if is_trained(g)])
        log = jnp.log(jnp.where(size > 0, size, 1.0)).astype(jnp.float32)
        by = Judgement(self.norm_sigmas, self.window, self.warm_up)
        spike, new = judged(by, known, log, OF_NORM)
        return spike & (size > 0), _either(size > 0, new, known)

    def _scales(self, state: Any) -> tuple[jax.Array, jax.Array]:
        """The scale of this step if it is taken, and the one after it if it is refused."""
        first = state.consecutive > 0  # after a refusal: at the scale that this left
        higher = jnp.minimum(state.scale * jnp.asarray(self.recovery, jnp.float32), 1.0)
        lower = state.scale * jnp.asarray(self.backoff, jnp.float32)
        least = jnp.asarray(self.min_scale, jnp.float32)
        return jnp.where(first, state.scale, higher), jnp.maximum(lower, least)


def _or_still(taken: jax.Array, u: Any) -> Any:
    """The update, or one that leaves every bit of a parameter: p + 0.0 would make 0.0 of -0.0."""
    if u is None or u.dtype == jax.dtypes.float0:
        return u
    still = -0.0 if jnp.isrealobj(u) else complex(-0.0, -0.0)
    return jax.lax.select(taken, u, jnp.full_like(u, still if is_trained(u) else 0))


def _either(taken: jax.Array, new: Any, old: Any) -> Any:
    """One tree or the other, in the dtypes of the second."""

    def leaf(a: Any, b: Any) -> Any:
        if a is b:
            return b
        a, b = (x if hasattr(x, "dtype") else jnp.asarray(x) for x in (a, b))
        if a.dtype != b.dtype:  # of a transformation that does not keep its own
            a = narrowed(a, b.dtype) if is_trained(a) and is_trained(b) else a.astype(b.dtype)
        return jax.lax.select(taken, a, b)

    return jax.tree.map(leaf, new, old)


@jax.jit
def _norm(g: jax.Array) -> jax.Array:
    return norm(wide_view(g))
