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

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adaptive_optax.core.anatomy import Part, anatomy, described
from adaptive_optax.core.checks import check_steps, check_transformation
from adaptive_optax.core.control import learning_rate_of, tell_rates
from adaptive_optax.core.leaves import flat, is_trained, matching
from adaptive_optax.core.rate import UNKNOWN, told
from adaptive_optax.core.types import Transformation
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
    check_transformation("monitored", inner=inner)
    check_steps("monitored", every=every)
    patterns = named_patterns("monitored", groups)
    names = [*patterns, REST] if patterns else [ALL]
    always = isinstance(every, int) and every == 1
    part = anatomy(inner)
    limit = _limit(part)
    follower = Follower(part, grouped=bool(patterns))
    inner = optax.with_extra_args_support(inner)

    def members_of(tree):
        groups = group_of("monitored", patterns, tree) if patterns else [ALL] * len(flat(tree)[0])
        return {name: {i for i, own in enumerate(groups) if own == name} for name in names}

    def shown(found):
        """Values by "name/group", and by "name" those of the whole."""
        return {
            f"{name}/{group}" if group else name: float32(value)
            for group in (WHOLE, *patterns)
            for name, value in found[group].items()
        }

    def rates_shown(rates):
        found = {name: {"learning_rate": rate.now} for name, rate in rates.items()}
        return shown(found | {WHOLE: {"learning_rate": whole_rate(rates)}})

    def init(params):
        inner_state = inner.init(params)
        members = members_of(params)
        rates = follower.rates(inner_state, inner_state, params, members)
        leaves = flat(params)[0]
        trained = {
            name: [leaves[i] for i in sorted(own) if is_trained(leaves[i])]
            for name, own in members.items()
        }
        nothing = {name: dict.fromkeys(NAMES, jnp.nan) for name in (WHOLE, *names)}
        seen = shown(nothing) | rates_shown(rates) | {"loss": float32(jnp.nan)}
        return MonitoredState(
            jnp.zeros((), jnp.int32),
            jnp.zeros((), jnp.int32),
            seen,
            {name: no_noise(own) for name, own in trained.items()},
            follower.first(rates),
            inner_state,
        )

    def update(grads, state, params=None, **extra_args):
        updates, inner_state = inner.update(grads, state.inner_state, params, **extra_args)
        tree = grads if params is None else params
        members = members_of(tree)
        rates = follower.rates(state.inner_state, inner_state, tree, members)
        updates, rates, kept = follower.follow(updates, rates, state.rates, members)
        count = optax.safe_increment(state.count)
        leaves = _leaves(grads, updates, params)
        due = always or (count % every == 0) | (count == 1)
        read = dict(zip(leaves, readings(list(leaves.values()), due), strict=True))

        def look():
            groups = {name: [read[i] for i in read if i in own] for name, own in members.items()}
            found, noise = measured(groups, state.noise)
            return shown(found), noise

        def keep():
            return {x: state.seen[x] for x in state.seen if x.split("/")[0] in NAMES}, state.noise

        if isinstance(due, jax.core.Tracer):
            seen, noise = jax.lax.cond(due, look, keep)
        else:  # outside of jit a cond is compiled anew at each call
            seen, noise = look() if due else keep()
        seen = seen | rates_shown(rates) | {"loss": float32(extra_args.get("value", jnp.nan))}
        clipped = state.clipped
        if limit is not None:
            length = optax.tree.norm([leaf.g for leaf in leaves.values()])
            clipped = clipped + (length > limit).astype(clipped.dtype)
        return updates, MonitoredState(count, clipped, seen, noise, kept, inner_state)

    def factor(before, after, params):
        members = members_of(params)
        rates = follower.rates(before.inner_state, after.inner_state, params, members)
        return follower.factors(rates, after.rates, members)

    return described(
        optax.GradientTransformationExtraArgs(init, update),
        "monitored",
        options={"every": every, "groups": patterns or None},
        members={"inner": inner},
        factor=factor,
    )


def _leaves(grads: Any, updates: Any, params: Any) -> dict[int, Leaf]:
    """The trained leaves by their places."""
    found, treedef = flat(grads)
    rows = zip(found, matching(treedef, updates), matching(treedef, params), strict=True)
    return {
        i: Leaf(*jax.lax.stop_gradient((g, u, p if p is None or is_trained(p) else None)))
        for i, (g, u, p) in enumerate(rows)
        if is_trained(g) and is_trained(u)
    }


_PASSING = (  # what hands the gradient on as it is
    *("chain", "named_chain", "inject_hyperparams", "apply_if_finite", "monitored", "lookahead"),
    *("averaged", "schedule_free", "cautious", "layerwise_decay", "gradual_unfreezing"),
    *("hypergradient", "guarded"),
)


def _limit(part: Part) -> Any:
    """The norm that gradients are clipped to before anything else is done; None where not."""
    while part.name in _PASSING and part.members:
        members = part.members.values()
        part = next((each for each in members if each.name != "identity"), next(iter(members)))
    return part.options.get("max_norm") if part.name == "clip_by_global_norm" else None
