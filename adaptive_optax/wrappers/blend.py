"""Blend: a weighted mixture of several optimizers' updates.

    u_i              the update of member i, and n_i its norm over the whole tree
    n = sum_i w_i n_i
    v_i = u_i n / n_i                         every member at the mixture's length; 0 where n_i is 0
    u = sum_i w_i v_i                         the weights w are at least 0, their sum is 1

Without normalising v_i = u_i, as Landro, Gallo & La Grassa, 2020, arXiv:2011.08042 mix Adam and
SGD. Members that agree make a step of length n, and members that do not a shorter one. The weights
stay as given, or learn from how the next gradient g, of another batch, judges each member:

    l_i = <g, v_i> / (|g| max |v|)            in [-1, 1], below 0 where its last step went downhill;
                                              1 where it made none, which would be but a lower rate
    "hedge"          w_i ~ w_i(0) exp(-eta sum l_i), eta = log(members) / gap: AdaHedge (de Rooij,
                     van Erven, Grunwald & Koolen, 2014, arXiv:1301.0534), where gap is 0.1 and the
                     sum of what the mixture lost against its mixability; no rate to tune
    "hypergradient"  w <- nearest point of the simplex to w - step_size l / sqrt(t): descent along
                     the loss's own slope in the weights (after Baydin et al., 2018,
                     arXiv:1703.04782), in steps that shrink, since noise judges too

Memory: every member's state; one more slot per parameter and member where the weights learn. Time:
every member's. When to use it: where one member's weakness is another's strength, and as a test of
which of them a task wants. The judgement looks one step ahead: it does not see what pays later.
Departures: both rules see the loss's linear part alone, over its largest possible value, so that
neither depends on the scale of the loss or of the rates; AdaHedge's gap starts at 0.1, not 0, where
the first rounding apart would decide; a judgement that is not finite changes nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adaptive_optax.core.agreement import agreement
from adaptive_optax.core.arrays import norm, norm_of_all, scaled, working_dtype
from adaptive_optax.core.checks import caller, check_choice
from adaptive_optax.core.leaves import flat, is_trained
from adaptive_optax.core.lifting import wide_view
from adaptive_optax.core.map_leaves import first_leaves, map_leaves
from adaptive_optax.core.transformation import Body, Transformation, constructor
from adaptive_optax.core.types import AboveZero, Scalar
from adaptive_optax.introspection.structure import parts, structure
from adaptive_optax.wrappers.blend_weights import LEARNING, checked_weights, weights_at
from adaptive_optax.wrappers.members import checked_members


class BlendState(NamedTuple):
    """What a blend remembers."""

    count: Any  # updates done, int32, shape ()
    weights: dict[str, Any]  # of the last update, by member; the widest float, shape ()
    learned: Any  # what else the weights learn from; None where they do not
    steps: Any  # each member's last v, by name, float32 or wider; None where weights do not learn
    inner_states: dict[str, Any]

    @property
    def own_metrics(self) -> dict[str, Any]:
        """What `metrics` shows of it."""
        return {f"weight/{name}": weight for name, weight in self.weights.items()}

    def eval_params(self, params: Any) -> Any:
        """The parameters as they are: a member's slow weights are not the mixture's."""
        return params


@constructor
def blend(
    members: Mapping[str, optax.GradientTransformation],
    weights: Mapping[str, Any] | Sequence[Any] | None = None,
    *,
    adapt: str | None = None,
    step_size: Scalar = 0.2,
    normalize: bool = True,
) -> Transformation:
    """Several optimizers at once, each with a weight.

    Args:
      members: transformations whose updates are added to the parameters, by name.
      weights: of each member, by name or in the members' order: numbers of at least 0 or, where
        adapt is None, schedules; they are divided by their sum. None takes equal ones.
      adapt: None keeps the weights; "hedge" and "hypergradient" learn them, from these on.
      step_size: of "hypergradient", above 0: how much a member gains in the first step over one
        that is judged worse by 1, half of the scale.
      normalize: whether members get the mixture's length before they are mixed, so that their
        learning rates' proportion does not weigh them too.

    Returns:
      A transformation with the weights in its state: `state.weights`, and "weight/name" in
      `metrics(state)`. It forwards extra arguments to all members.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range.

    >>> import adaptive_optax as ao, jax.numpy as jnp
    >>> tx = blend({"small": ao.sgd(1.0), "large": ao.sgd(3.0)}, {"small": 3, "large": 1})
    >>> params = jnp.zeros(2)
    >>> updates, state = tx.update(jnp.array([1.0, -2.0]), tx.init(params), params)
    >>> updates.tolist(), float(state.weights["small"])
    ([-1.5, 3.0], 0.75)
    """
    inners = checked_members(members)
    given = checked_weights(list(inners), weights)
    names = sorted(inners)
    return Blend(
        {name: inners[name] for name in names},
        {name: given[name] for name in names},
        adapt,
        step_size,
        normalize,
    ).transformation()


class Blend(Body):
    """Several optimizers at once; the members are in the order of their names."""

    inners: dict[str, optax.GradientTransformationExtraArgs]
    weights: dict[str, Any]
    adapt: str | None
    step_size: AboveZero
    normalize: bool

    def check(self) -> None:
        if self.adapt is not None:
            check_choice(tuple(LEARNING), adapt=self.adapt)
        if self.adapt and any(map(callable, self.weights.values())):
            raise ValueError(
                f"{caller()}(weights=a schedule, adapt={self.adapt!r}): weights that learn start "
                f"from numbers; give numbers, or adapt=None."
            )

    @property
    def members(self) -> Mapping[str, optax.GradientTransformation]:
        return self.inners

    def shares(self, before: Any) -> Any:
        return before.weights

    def init(self, params: Any) -> BlendState:
        start = weights_at(self.weights, jnp.zeros((), jnp.int32))
        steps = {name: first_leaves(jnp.zeros_like, params) for name in self.inners}
        return BlendState(
            count=jnp.zeros((), jnp.int32),
            weights=self._named(start),
            learned=LEARNING[self.adapt].start(start) if self.adapt else None,
            steps=steps if self.adapt else None,
            inner_states={name: inner.init(params) for name, inner in self.inners.items()},
        )

    def update(
        self, grads: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, BlendState]:
        each, inner_states = [], {}
        for name, inner in self.inners.items():
            # Ours compute alike for any parameters: wide ones prevent rounding a step twice.
            seen = _widened(params) if _all_ours(inner) else params
            u, inner_states[name] = inner.update(
                grads, state.inner_states[name], seen, **extra_args
            )
            each.append(u)
        if self.adapt:
            now, learned = self._judged(grads, state)
        else:
            now, learned = weights_at(self.weights, state.count), None
        factors = _factors(each, now) if self.normalize else jnp.ones_like(now)
        steps = list(state.steps.values()) if self.adapt else []
        updates = map_leaves(
            self.name,
            _kept_mixture if self.adapt else _mixture,
            each[0],
            params,
            *steps,
            *each[1:],
            shared=(now, factors),
            keeps=len(steps),
        )
        if self.adapt:
            updates, *steps = updates
        return updates, BlendState(
            count=optax.safe_increment(state.count),
            weights=self._named(now),
            learned=learned,
            steps=self._named(steps) if self.adapt else None,
            inner_states=inner_states,
        )

    def _judged(self, grads: Any, state: Any) -> Any:
        """Weights and what they learn from, after the gradient has judged the last steps."""
        found = [agreement(grads, state.steps[name]) for name in self.inners]
        longest = jnp.max(jnp.stack([each.direction for each in found]))
        unit = jnp.where(longest > 0, longest, 1.0)
        losses = jnp.stack(
            [jnp.where(x.direction > 0, x.cosine * (x.direction / unit), 1.0) for x in found]
        )
        losses = jnp.where(longest > 0, losses, 0.0)
        weights, learned = jnp.stack([state.weights[name] for name in self.inners]), state.learned
        learn = LEARNING[self.adapt].learn  # type: ignore[index]
        after = learn(weights, learned, losses, self.step_size)
        known = jnp.all(jnp.isfinite(losses))
        return jax.tree.map(lambda new, old: jnp.where(known, new, old), after, (weights, learned))

    def _named(self, values: Any) -> dict[str, Any]:
        return dict(zip(self.inners, values, strict=True))


def _mixture(u: jax.Array, p: Any, *others: Any) -> jax.Array:
    """The mixture of one leaf: of the other members' updates, weights and factors come last."""
    *rest, weights, factors = others
    parts = [scaled(each, factors[i]) for i, each in enumerate((u, *rest))]
    return _mixed(parts, weights)


def _kept_mixture(u: jax.Array, p: Any, *others: Any) -> tuple[jax.Array, ...]:
    """The same with each member's part, which takes the place of its last one."""
    *found, weights, factors = others
    rest = found[weights.size :]  # the last parts come before the updates
    parts = [scaled(each, factors[i]) for i, each in enumerate((u, *rest))]
    return _mixed(parts, weights), *parts


def _mixed(parts: list[jax.Array], weights: jax.Array) -> jax.Array:
    first, *rest = parts
    # Differences of equal parts are 0 even if the products in them are fused.
    away = [jnp.where(part == first, jnp.zeros_like(part), part - first) for part in rest]
    whole = sum((scaled(x, weights[i]) for i, x in enumerate(away, 1)), jnp.zeros_like(first))
    return jnp.where(whole == 0, first, first + whole)


def _factors(updates: Sequence[Any], weights: jax.Array) -> jax.Array:
    """What each update is multiplied by, to be as long as they are on the weighted mean."""
    lengths = jnp.stack(
        [norm_of_all([_length(u) for u in flat(each)[0] if is_trained(u)]) for each in updates]
    )
    first = lengths[0]  # equal lengths have this mean exactly
    mean = first + jnp.sum(jnp.where(lengths == first, 0.0, weights * (lengths - first)))
    still = lengths < jnp.finfo(lengths.dtype).tiny
    return jnp.where(still, 0.0, mean / jnp.where(still, 1.0, lengths))


@jax.jit
def _length(u: jax.Array) -> jax.Array:
    return norm(u.astype(working_dtype(u.dtype)))


def _all_ours(tx: optax.GradientTransformation) -> bool:
    """Whether all of a transformation is of this library."""
    return all(part.body is not None for part in parts(structure(tx)))


def _widened(params: Any) -> Any:
    """The parameters in the dtype to compute in."""
    leaves, treedef = flat(params)
    return jax.tree.unflatten(treedef, [wide_view(p) if is_trained(p) else p for p in leaves])
