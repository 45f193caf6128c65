"""`monitored`: sees what an optimizer really does, and sets its learning rate.

Every `every` steps it measures the gradient g, the update u and the parameters p, of all leaves
and of each group:

    gradient_norm, update_norm, parameter_norm      |g|, |u|, |p|
    update_ratio                                    |u| / |p|; about 1e-3 is usual
    cosine                                          <u, -g> / (|u| |g|); 1 goes straight downhill
    gradient_noise                                  share of E|g|^2 that is not |E g|^2, in [0, 1]

and at every step the learning rate, through schedule, warm-up, plateau and whatever else multiplies
it, and how many gradients were clipped. What is only looked at does not change: updates are those
of the inner optimizer bit for bit.

The noise is told from averages, over the last ten measures or so, of up to 1,024 coordinates of
each leaf's g and of their squares. It means that gradients differ, be it by the batch or by the
way that the parameters have gone in between.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adaptive_optax.core.checks import check_transformation
from adaptive_optax.core.leaves import flat, is_trained, matching
from adaptive_optax.core.rate import UNKNOWN, told
from adaptive_optax.core.transformation import Body, Transformation, constructor
from adaptive_optax.core.types import Steps
from adaptive_optax.introspection.rate_access import learning_rate_of, tell_rates
from adaptive_optax.introspection.structure import structure
from adaptive_optax.monitoring.group_rates import Follower, float32, whole_rate
from adaptive_optax.monitoring.groups import REST, Groups, group_of, named_patterns
from adaptive_optax.monitoring.step_statistics import (
    NAMES,
    WHOLE,
    Leaf,
    Noise,
    measured,
    no_noise,
    readings,
)

ALL = "all"  # the one group where none are given


class MonitoredState(NamedTuple):
    """What `monitored` remembers."""

    count: Any  # updates done, int32, shape ()
    clipped: Any  # gradients that clip_by_global_norm clipped, int32, shape ()
    seen: dict[str, Any]  # the last measures by name; float32, shape ()
    noise: dict[str, Noise]  # by group, "all" where there are none
    rates: Any  # `Rate`, or one of each group, where it can be set here; else None
    inner_state: Any

    @property
    def learning_rates(self) -> dict[str, Any]:
        """The effective learning rate of each group; of all, named "", where there are none."""
        prefix = "learning_rate/"
        groups = {k.removeprefix(prefix): v for k, v in self.seen.items() if k.startswith(prefix)}
        groups = groups or {"": self.seen["learning_rate"]}
        return {name: told(rate) for name, rate in groups.items()}

    def told_rates(self, before: "MonitoredState") -> "MonitoredState":
        """The same, telling of the rates that were set in it since it was `before`."""
        inner = tell_rates(self.inner_state, before.inner_state)
        if isinstance(self.rates, dict):
            pairs = {name: (before.rates[name].now, rate.now) for name, rate in self.rates.items()}
        elif self.rates is not None:
            pairs = {"": (before.rates.now, self.rates.now)}
        else:
            pairs = {"": (_one(before.inner_state), _one(inner))}
        seen = dict(self.seen)
        for group, (old, new) in pairs.items():
            name = f"learning_rate/{group}" if group else "learning_rate"
            if name in seen and new is not None:
                was, old, new = seen[name], float32(old), float32(new)
                moved = jnp.where(old > 0, was * (new / jnp.where(old > 0, old, 1.0)), new)
                seen[name] = jnp.where((old == new) | (old == UNKNOWN), was, moved)
        return self._replace(seen=seen, inner_state=inner)


def _one(state: Any) -> Any:
    """The one learning rate that a state keeps; None where there are several."""
    rate = learning_rate_of(state)
    return None if isinstance(rate, dict) else rate


@constructor
def monitored(
    inner: optax.GradientTransformation, *, every: int = 1, groups: Groups | None = None
) -> Transformation:
    """Any optimizer, with what it does in its state: `metrics(state)` reads it.

    Put it around the whole optimizer: what stands outside is not seen. `set_learning_rate` reaches
    through it; the rate of an inner optimizer that keeps none, such as `optax.adam(1e-3)`, is then
    set by scaling the update.

    Args:
      inner: a transformation whose updates are added to the parameters.
      every: steps from one measure to the next, at least 1; the first step is measured too. The
        learning rate and the counts are of every step.
      groups: patterns (regular expressions) sought in the parameters' paths, which are written
        "encoder/Dense_0/kernel", such as ["encoder", "head"]; or a dict of them by name. The first
        that matches counts; all other parameters count in the whole alone. None has no groups.

    Returns:
      A transformation whose updates are the inner one's. It forwards extra arguments, and reads
      `value` as the loss.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range; at init, where a group
        matches no parameter.

    >>> import adaptive_optax as ao, jax.numpy as jnp
    >>> tx = monitored(ao.sgd(0.5))
    >>> params = jnp.array([3.0, 4.0])
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> seen = ao.metrics(state)
    >>> [round(float(seen[name]), 4) for name in ("learning_rate", "gradient_norm", "cosine")]
    [0.5, 5.0, 1.0]
    """
    check_transformation(inner=inner)
    patterns = named_patterns("monitored", groups)
    return Monitored(optax.with_extra_args_support(inner), every, patterns).transformation()


class Monitored(Body):
    """An optimizer with what it does in its state."""

    inner: optax.GradientTransformationExtraArgs
    every: Steps
    patterns: dict[str, Any]  # a compiled pattern for each group; empty for no groups

    observes = True
    passes_gradients = True

    @functools.cached_property
    def names(self) -> list[str]:
        """The groups, or one for all leaves."""
        return [*self.patterns, REST] if self.patterns else [ALL]

    @functools.cached_property
    def limit(self) -> Any:
        """The norm that gradients are clipped to before anything else; None if they are not."""
        part = structure(self.inner)
        while part.passes_gradients and part.members:
            members = part.members.values()
            part = next((each for each in members if each.name != "identity"), next(iter(members)))
        return part.options.get("max_norm") if part.name == "clip_by_global_norm" else None

    @functools.cached_property
    def follower(self) -> Follower:
        """What follows the learning rates."""
        return Follower(structure(self.inner), grouped=bool(self.patterns))

    def init(self, params: Any) -> MonitoredState:
        inner_state = self.inner.init(params)
        places = self._places(params)
        rates = self.follower.rates(inner_state, inner_state, params, places)
        leaves = flat(params)[0]
        trained = {
            name: [leaves[i] for i in sorted(own) if is_trained(leaves[i])]
            for name, own in places.items()
        }
        nothing = {name: dict.fromkeys(NAMES, jnp.nan) for name in (WHOLE, *self.names)}
        seen = self._shown(nothing) | self._rates_shown(rates) | {"loss": float32(jnp.nan)}
        return MonitoredState(
            jnp.zeros((), jnp.int32),
            jnp.zeros((), jnp.int32),
            seen,
            {name: no_noise(own) for name, own in trained.items()},
            self.follower.first(rates),
            inner_state,
        )

    def update(
        self, grads: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, MonitoredState]:
        updates, inner_state = self.inner.update(grads, state.inner_state, params, **extra_args)
        tree = grads if params is None else params
        places = self._places(tree)
        rates = self.follower.rates(state.inner_state, inner_state, tree, places)
        updates, rates, kept = self.follower.follow(updates, rates, state.rates, places)
        count = optax.safe_increment(state.count)
        leaves = _leaves(grads, updates, params)
        always = isinstance(self.every, int) and self.every == 1
        due = always or (count % self.every == 0) | (count == 1)
        read = dict(zip(leaves, readings(list(leaves.values()), due), strict=True))

        def look() -> Any:
            groups = {name: [read[i] for i in read if i in own] for name, own in places.items()}
            found, noise = measured(groups, state.noise)
            return self._shown(found), noise

        def keep() -> Any:
            return {x: state.seen[x] for x in state.seen if x.split("/")[0] in NAMES}, state.noise

        if isinstance(due, jax.core.Tracer):
            seen, noise = jax.lax.cond(due, look, keep)
        else:  # outside of jit a cond is compiled anew at each call
            seen, noise = look() if due else keep()
        loss = float32(extra_args.get("value", jnp.nan))
        seen = seen | self._rates_shown(rates) | {"loss": loss}
        clipped = state.clipped
        if self.limit is not None:
            length = optax.tree.norm([leaf.g for leaf in leaves.values()])
            clipped = clipped + (length > self.limit).astype(clipped.dtype)
        return updates, MonitoredState(count, clipped, seen, noise, kept, inner_state)

    def factor(self, before: Any, after: Any, params: Any) -> Any:
        places = self._places(params)
        rates = self.follower.rates(before.inner_state, after.inner_state, params, places)
        return self.follower.factors(rates, after.rates, places)

    def _places(self, tree: Any) -> dict[str, set[int]]:
        """Of each group the places of its leaves."""
        all_leaves = [ALL] * len(flat(tree)[0])
        groups = group_of("monitored", self.patterns, tree) if self.patterns else all_leaves
        return {name: {i for i, own in enumerate(groups) if own == name} for name in self.names}

    def _shown(self, found: Any) -> dict[str, Any]:
        """Values by "name/group", and by "name" those of the whole."""
        return {
            f"{name}/{group}" if group else name: float32(value)
            for group in (WHOLE, *self.patterns)
            for name, value in found[group].items()
        }

    def _rates_shown(self, rates: Any) -> dict[str, Any]:
        found = {name: {"learning_rate": rate.now} for name, rate in rates.items()}
        return self._shown(found | {WHOLE: {"learning_rate": whole_rate(rates)}})


def _leaves(grads: Any, updates: Any, params: Any) -> dict[int, Leaf]:
    """The trained leaves by their places."""
    found, treedef = flat(grads)
    rows = zip(found, matching(treedef, updates), matching(treedef, params), strict=True)
    return {
        i: Leaf(*jax.lax.stop_gradient((g, u, p if p is None or is_trained(p) else None)))
        for i, (g, u, p) in enumerate(rows)
        if is_trained(g) and is_trained(u)
    }
