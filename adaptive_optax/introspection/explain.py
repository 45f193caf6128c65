"""`explain`: what a transformation is made of, in words, and what in it does not work."""

import math
import textwrap
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from adaptive_optax.core.checks import check_arrays, check_transformation
from adaptive_optax.core.leaves import flat
from adaptive_optax.introspection.chain_lint import Finding, hazards
from adaptive_optax.introspection.effective_rate import effective
from adaptive_optax.introspection.foreign import closed_over
from adaptive_optax.introspection.structure import Part, parts, shown_members, structure

WIDTH = 96


class Explanation(str):
    """The text that `explain` prints, with its findings.

    Attributes:
      findings: what does nothing or does harm; empty where all is well.
    """

    findings: list[Finding]

    def __repr__(self) -> str:
        return f"<Explanation: {_number(self.findings)}>"


def explain(tx: optax.GradientTransformation, params: Any = None) -> Explanation:
    """Prints what a transformation does, part by part, and what in it does nothing or does harm.

    It knows the parts of optax and of adaptive_optax by what their functions close over, so that
    any chain can be shown, however it was built. Flagged are: a scale or a plateau before a rule
    that does not depend on scale, clipping after the learning rate, weight decay before Adam,
    masks that let raw gradients pass, lookahead and its like not last, frozen leaves that decay,
    an optimizer after another, a missing or zero learning rate, and what optax's MultiSteps,
    partition and inject_hyperparams make of a plateau, a clip and a mask.

    Args:
      tx: any transformation.
      params: the parameters, or their shapes; with them the learning rate of each is told too.

    Returns:
      What was printed, a string, with the attribute `findings`.

    Raises:
      TypeError: where tx is no transformation, or params no arrays.

    >>> import optax
    >>> found = explain(optax.chain(optax.scale(0.1), optax.adam(1e-3)))
    chain
    ├─ optax.scale(step_size=0.1)
    └─ chain
       ├─ optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-08, eps_root=0.0, nesterov=False)
       └─ optax.scale(step_size=-0.001)
    <BLANKLINE>
    1. scale before scale_by_adam does nothing: scale_by_adam's step does not depend on the scale of
       the gradient. Put the scale after it.
    >>> found.findings[0].kind
    'scale_before_invariant'
    """
    check_transformation("explain", tx=tx)
    check_arrays("explain", params=params)
    part = structure(tx)
    lines = _tree(part)
    if params is not None:
        lines += ["", *_rates(part, tx, params)]
    found = hazards(part)
    lines.append("")
    for number, each in enumerate(found, 1):
        lines += textwrap.wrap(
            f"{number}. {each.text}", WIDTH, subsequent_indent=" " * len(f"{number}. ")
        )
    if not found:
        lines.append("nothing in it is known to do nothing or harm.")
    text = Explanation("\n".join(lines))
    text.findings = found
    print(text)
    return text


def _tree(part: Part, label: str = "", width: int = WIDTH) -> list[str]:
    """A line a part, or more where it is longer than the width, the inner ones indented."""
    lines = textwrap.wrap(
        f"{label}{_call(part)}",
        max(width, 32),  # however deep
        subsequent_indent="│   " if shown_members(part) else "    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    members = list(shown_members(part).items())
    for i, (name, member) in enumerate(members):
        last = i == len(members) - 1
        alone = part.name == "chain" or (len(members) == 1 and name != "rest")
        shown = "" if alone else f"{name}: "
        first, *rest = _tree(member, shown, width - 3)
        lines.append(f"{'└─ ' if last else '├─ '}{first}")
        lines += [f"{'   ' if last else '│  '}{line}" for line in rest]
    return lines


def _call(part: Part) -> str:
    """The part as the call that makes it, as far as it is known."""
    if part.name in ("chain", "named_chain"):
        return part.name
    library = {"optax": "optax.", "adaptive_optax": "ao."}.get(part.library, f"{part.library}.")
    options = ", ".join(f"{key}={_shown(value)}" for key, value in part.options.items())
    return f"{library}{part.name}({options})"


def _shown(value: Any) -> str:
    """An option in a few words."""
    if isinstance(value, jax.core.Tracer):
        return "traced"
    if isinstance(value, jax.Array):
        return f"{value.item():g}" if value.ndim == 0 else f"array{list(value.shape)}"
    if isinstance(value, Mapping) or not callable(value):
        return repr(value)
    if hasattr(value, "length"):  # a schedule of ours, which prints as its call
        return repr(value)
    inner = closed_over(value)
    name = getattr(value, "__qualname__", repr(value)).partition(".<locals>")[0]
    if name == "scale_by_learning_rate":  # optax's turn of sign around a schedule
        return f"-{_shown(inner['learning_rate'])}"
    numbers = {k: v for k, v in inner.items() if isinstance(v, int | float)}
    return f"{name}({', '.join(f'{key}={number:g}' for key, number in numbers.items())})"


def _rates(part: Part, tx: optax.GradientTransformation, params: Any) -> list[str]:
    """The learning rate of the first update: one line, or one for each leaf where they differ."""
    state = jax.tree.map(jnp.asarray, tx.init(params))
    found = [each.rate for each in effective(part, state, state, params)]
    pairs = jax.tree_util.tree_flatten_with_path(params, is_leaf=lambda x: x is None)[0]
    paths = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in pairs]
    known = (math.nan if rate is None else float(rate) for rate in found)
    words = ["not known" if math.isnan(rate) else f"{rate:g}" for rate in known]
    warms_up = "0" in words and any(map(_starts_at_zero, parts(part)))
    if len(set(words)) == 1:
        return [f"first learning rate {words[0]}{' (a schedule starts there)' * warms_up}"]
    assert len(words) == len(flat(params)[0])
    title = f"first learning rates{' (a schedule starts at 0)' * warms_up}"
    return [title, *(f"  {p}: {w}" for p, w in zip(paths, words, strict=True))]


def _starts_at_zero(part: Part) -> bool:
    """Whether a part has a schedule of the learning rate whose first value is 0."""
    found = (part.options.get(name) for name in ("learning_rate", "step_size", "step_size_fn"))
    schedules = (each for each in found if callable(each) and not hasattr(each, "init"))
    return any(float(each(jnp.zeros((), jnp.int32))) == 0 for each in schedules)


def _number(findings: list[Finding]) -> str:
    return f"{len(findings)} finding{'s' * (len(findings) != 1)}"
