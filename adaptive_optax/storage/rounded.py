"""Rounded: parameters in bfloat16 or float16 that learn, over any optimizer.

    "stochastic"  p <- chance(p + u)                                          no slot
    "kahan"       s = c + u,  p' = nearest(p + s),  c <- chance(s - (p' - p))   2 bytes
    "master"      m <- m + u,  p <- nearest(m)                                4 bytes

u is the inner optimizer's update, in float32. Rounded to the nearest, a step of less than half the
distance to the next number is no step: a bfloat16 parameter of 3 stands still at steps of 1e-3.
Stochastic rounding goes there with the probability that makes the mean right (Gupta et al., 2015,
arXiv:1502.02551); compensated summation keeps what was rounded off (Kahan, 1965); a master copy is
the parameter in float32 (Micikevicius et al., 2017, arXiv:1710.03740). The first two in training
with bfloat16: Zamirai et al., 2020, arXiv:2010.06192.

When to use it: "kahan" by default; "stochastic" where every byte counts; "master" for what float32
does, digit for digit. Departures: the compensation is kept in bfloat16 whatever the parameter is,
and by chance, since to the nearest it would stand still in its turn; random bits are a hash
(`noise.py`). Numbers that are too large become the largest one.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adaptive_optax.core.checks import check_choice, check_params, check_state, check_transformation
from adaptive_optax.core.leaves import is_trained, pair_leaves
from adaptive_optax.core.lifting import wide_view
from adaptive_optax.core.transformation import Body, Transformation, constructor
from adaptive_optax.storage.rounded_update import MODES, first_kept, kept_leaves, landed, wide_param
from adaptive_optax.storage.stochastic_rounding import is_narrow


class RoundedState(NamedTuple):
    """What the wrapper remembers."""

    count: Any  # updates done, int32, shape (); None for "master", which rounds without chance
    compensation: Any  # of "kahan": what was rounded off, bfloat16; None at leaves that are wide
    master: Any  # of "master": the parameters in float32; None at leaves that are wide
    inner_state: Any


@constructor
def rounded(inner: optax.GradientTransformation, mode: str) -> Transformation:
    """Any optimizer, for parameters in bfloat16 or float16 that move by less than their digits.

    Put it outermost, or last in a chain. The updates of narrow parameters are float32, and such
    that `optax.apply_updates`, and flax's training states, end on the rounded parameter exactly.
    What makes updates of its own in the gradients' dtype, such as `optax.apply_if_finite` and
    `multi_steps`, goes inside; so does what changes an update.

    Args:
      inner: a transformation whose updates are added to the parameters. It sees parameters and
        gradients in float32, and so keeps its state in it.
      mode: "stochastic" rounds each sum by chance, the same at each run and however the parameters
        are sharded; "kahan" keeps what was rounded off, and adds it the next time; "master" keeps
        the parameters in float32, and takes each one anew that was set from outside.

    Returns:
      A transformation with state `RoundedState` that needs params at update. Leaves that are wider,
      complex or of integers are the inner one's alone. It forwards extra arguments.

    Raises:
      TypeError: where inner is no transformation; at init, for floats of 8 bits or less.
      ValueError: for another mode; at update, without params, or with another tree of them.

    >>> import adaptive_optax as ao
    >>> params = jnp.full(4096, 3.0, jnp.bfloat16)
    >>> for tx in (ao.sgd(1e-3), rounded(ao.sgd(1e-3), "stochastic")):
    ...     updates, _ = tx.update(jnp.ones_like(params), tx.init(params), params)
    ...     new = optax.apply_updates(params, updates)
    ...     print(new.dtype, round(3 - float(new.astype(jnp.float32).mean()), 5))
    bfloat16 0.0
    bfloat16 0.001
    """
    check_transformation(inner=inner)
    return Rounded(optax.with_extra_args_support(inner), mode).transformation()


class Rounded(Body):
    """An optimizer for parameters that move by less than their digits."""

    inner: optax.GradientTransformationExtraArgs
    mode: str

    keeps_parameters = True

    def check(self) -> None:
        check_choice(MODES, mode=self.mode)

    def init(self, params: Any) -> RoundedState:
        count = None if self.mode == "master" else jnp.zeros((), jnp.int32)
        kept = first_kept(self.mode, params)
        return RoundedState(count, *_fields(self.mode, kept), self.inner.init(_wide(params)))

    def update(
        self, grads: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, RoundedState]:
        check_params(self.name, "the numbers to round", params)
        check_state("rounded.update", RoundedState, state)
        _, weights, treedef, _ = pair_leaves(self.name, grads, params)
        kept = kept_leaves(self.mode, treedef, weights, state.compensation, state.master)
        before = [wide_param(self.mode, p, k) for p, k in zip(weights, kept, strict=True)]
        seen = treedef.unflatten(before)
        updates, inner_state = self.inner.update(
            _wide(grads), state.inner_state, seen, **extra_args
        )
        count = None if state.count is None else optax.safe_increment(state.count)
        moves = treedef.flatten_up_to(updates)
        for i, (u, p) in enumerate(zip(moves, weights, strict=True)):
            if is_narrow(p) and hasattr(u, "dtype") and is_trained(u):
                moves[i], kept[i] = landed(self.mode, u, p, kept[i], count, i)
        fields = _fields(self.mode, treedef.unflatten(kept))
        return treedef.unflatten(moves), RoundedState(count, *fields, inner_state)


def _fields(mode: str, kept: Any) -> tuple[Any, Any]:
    """Compensation and master, from what the mode keeps."""
    return kept if mode == "kahan" else None, kept if mode == "master" else None


def _wide(tree: Any) -> Any:
    """Narrow leaves in float32, all else as it is."""
    return jax.tree.map(lambda x: wide_view(x) if is_narrow(x) else x, tree)
