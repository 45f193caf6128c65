"""The structure of a transformation: its name, its options, and the transformations inside it.

Ours say it themselves: the body behind `tx.update` knows the call that built it. Of optax's and
other transformations, `foreign` reads what their functions close over.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import optax

from adaptive_optax.core.descend import Chained
from adaptive_optax.core.lifting import UPHILL, LiftedRule
from adaptive_optax.core.rule import Moment
from adaptive_optax.core.split import Split
from adaptive_optax.core.transformation import Body
from adaptive_optax.core.value import key_of
from adaptive_optax.introspection import foreign


class Part(NamedTuple):
    """One transformation, taken apart."""

    name: str  # as it is called, such as "scale_by_adam"
    library: str  # the first word of its module
    options: Mapping[str, Any]  # what it was built with
    members: Mapping[str, "Part"]  # the transformations inside it, by name or place
    tx: optax.GradientTransformation
    body: Body | None = None  # of a transformation of this library
    build: Callable[..., Any] | None = None  # of optax.inject_hyperparams: numbers -> inner

    @property
    def rule(self) -> Any:
        """The rule for one array of a lifted rule of this library; None for all others."""
        return self.body.rule if isinstance(self.body, LiftedRule) else None

    @property
    def learning_rate(self) -> Any:
        """The number or schedule that a rule walks by; None if it has none or that is not known."""
        if isinstance(self.body, LiftedRule):
            return self.body.learning_rate
        return self.options.get("learning_rate")

    @property
    def scale_invariant(self) -> bool:
        """Whether a rule's direction does not depend on the scale of the gradients."""
        if self.body is not None:
            return self.rule is not None and self.rule.scale_invariant
        name = self.name.removeprefix("scale_by_")
        return self.library == "optax" and name in foreign.SCALE_INVARIANT

    @property
    def points_downhill(self) -> bool:
        """Whether what a rule gives already has the minus sign of descent."""
        if isinstance(self.body, LiftedRule):
            return self.body.descent != UPHILL
        return not self.name.startswith("scale_by_") or self.name == "scale_by_madgrad"

    @property
    def keeps_parameters(self) -> bool:
        """Whether its state has what the parameters were moved to."""
        return self.body is not None and self.body.keeps_parameters

    @property
    def observes(self) -> bool:
        """Whether its updates are those of its one member."""
        return self.body is not None and self.body.observes

    @property
    def in_sequence(self) -> bool:
        """Whether its members work one after another on the same update."""
        return self.name in ("chain", "named_chain") or isinstance(self.body, Chained)

    @property
    def passes_gradients(self) -> bool:
        """Whether its first member gets the gradients as they are."""
        if self.body is not None:
            return self.body.passes_gradients
        return self.name in foreign.PASSING

    @property
    def moments(self) -> Mapping[str, Moment]:
        """The slots of a rule that keep a mean which other rules keep too."""
        if self.body is not None:
            return {} if self.rule is None else self.rule.moments
        return foreign.MOMENTS.get(self.name, {})


def structure(tx: optax.GradientTransformation) -> Part:
    """Take any optax transformation apart.

    >>> import optax
    >>> found = structure(optax.chain(optax.clip(1.0), optax.adam(0.1)))
    >>> [part.name for part in found.members.values()]
    ['clip', 'chain']
    >>> found.members["1"].members["0"].options["b2"]
    0.999
    """
    return _structure(tx, ())


def shown_members(part: Part) -> Mapping[str, Part]:
    """The members that a user gave to the call, and what a default stands for."""
    if part.body is None or part.body.call is None:
        return part.members
    if isinstance(part.body, Split):
        rest = part.members["rest"]
        return {"rest": next(iter(shown_members(rest).values()), rest)}
    found: dict[str, Part] = {}
    for name, value in part.body.call.arguments.items():
        given = value if isinstance(value, Mapping) else {name: value}
        found |= {k: structure(tx) for k, tx in given.items() if foreign.is_transformation(tx)}
    return found


def parts(part: Part) -> Iterator[Part]:
    """A part and everything inside it, in the order of their work."""
    yield part
    for member in part.members.values():
        yield from parts(member)


def _structure(tx: optax.GradientTransformation, around: tuple[Any, ...]) -> Part:
    """The same; `around` are the updates that contain it, so that a cycle ends."""
    update, tx = foreign.unwrapped(tx)
    around = (*around, update)
    body = getattr(update, "__self__", None)
    if isinstance(body, Body):
        members = {name: _structure(member, around) for name, member in body.members.items()}
        name = body.call.name if body.call else body.name
        return Part(name, "adaptive_optax", _options(body), members, tx, body)
    library = (getattr(update, "__module__", None) or "").partition(".")[0]
    if isinstance(body, optax.MultiSteps):
        options, inners = foreign.multi_steps_of(body)
        members = {name: _structure(member, around) for name, member in inners.items()}
        return Part("MultiSteps", library, options, members, tx)
    values = foreign.values_of(tx, update)
    if "inner_factory" in values:
        options, build = foreign.injected(values)
        members = {} if build is None else {"inner": _structure(build(), around)}
        return Part("inject_hyperparams", "optax", options, members, tx, build=build)
    members = {
        label: _structure(member, around)
        for label, member in foreign.members_of(values)
        if foreign.unwrapped(member)[0] not in around
    }
    return Part(foreign.name_of(update), library, foreign.options_of(values), members, tx)


def _options(body: Body) -> dict[str, Any]:
    """The arguments of the call that are not transformations; those that are off are left out."""
    if body.call is None:
        return {}
    off = {name: x for name, x in body.call.defaults.items() if x is None or x is False or x == 0}
    return {
        name: value
        for name, value in body.call.arguments.items()
        if not (name in off and key_of(value) == key_of(off[name])) and not _holds(value)
    }


def _holds(value: Any) -> bool:
    """Whether an argument is a transformation, or a dict of them."""
    values = value.values() if isinstance(value, Mapping) else [value]
    return any(map(foreign.is_transformation, values))
