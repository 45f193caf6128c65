"""What in a chain does nothing, or does harm: one function a hazard."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

from adaptive_optax.introspection.foreign import closed_over
from adaptive_optax.introspection.structure import Part, parts

SCALES = ("scale", "scale_by_schedule", "scale_by_cocob")
CLIPS = ("clip", "clip_by_global_norm", "clip_by_block_rms", "adaptive_grad_clip")
FROZEN = "set_to_zero"
FACTORS = ("reduce_on_plateau",)
OPAQUE = ("stateless", "stateless_with_tree_map")  # do what somebody's function does
WATCHERS = ("snapshot", "monitor", "measure_with_ema", "identity")  # change nothing


class Finding(NamedTuple):
    """Something in a transformation that does not do what it seems to."""

    kind: str  # a word for it, such as "clip_after_learning_rate"
    where: str  # the names of the parts concerned
    text: str  # what happens, and the way out


def hazards(part: Part) -> list[Finding]:
    """All findings in a transformation, in the order of its parts."""
    found = []
    for pipeline in _pipelines(part):
        for hazard in _HAZARDS:
            found += list(hazard(pipeline))
    for each in parts(part):
        for lone in _LONE:
            found += list(lone(each))
    if all(map(_has_none, parts(part))):
        text = (
            "there is no learning rate: the update is the direction uphill, not yet turned or "
            "scaled. Use ao.descend(rule, learning_rate), or optax.scale_by_learning_rate last."
        )
        found.append(Finding("no_learning_rate", part.name, text))
    return list(dict.fromkeys(found))


def _has_none(part: Part) -> bool:
    """Whether a part is known to apply no learning rate."""
    known = part.library in ("optax", "adaptive_optax") and part.name not in OPAQUE
    return known and not has_rate(part) and part.name != FROZEN


def _pipelines(part: Part) -> Iterator[list[Part]]:
    """Every sequence of steps, with chains in chains laid out in one."""
    steps = list(_steps(part))
    yield steps
    for step in steps:
        for member in step.members.values():
            yield from _pipelines(member)


def _steps(part: Part) -> Iterator[Part]:
    if part.in_sequence:
        for member in part.members.values():
            yield from _steps(member)
    elif part.members and (part.name == "inject_hyperparams" or part.observes):
        yield from _steps(part.members["inner"])
    else:
        yield part


def has_rate(step: Part) -> bool:
    """Whether a step applies a learning rate, itself or inside; a rule that has one does not."""
    return any(
        each.name in SCALES
        or (each.options.get("learning_rate") is not None and each.points_downhill)
        for each in parts(step)
    )


def invariant(step: Part) -> bool:
    """Whether the scale of what a step is given makes no difference to what it gives."""
    if step.name in ("masked", *FACTORS):  # other leaves pass with their scale
        return False
    if len(step.members) > 1 and not step.in_sequence:
        return all(each.name == FROZEN or invariant(each) for each in step.members.values())
    if step.members:
        return any(map(invariant, step.members.values()))
    return step.scale_invariant


def decays(step: Part) -> bool:
    """Whether a step decays the weights."""
    amounts = [each.options.get("weight_decay") for each in parts(step)]
    return any(each is not None and _number(each) != 0 for each in amounts)  # or it is a schedule


def _freezes(step: Part) -> bool:
    return step.name == FROZEN or (step.name == "masked" and step.members["inner"].name == FROZEN)


def _some_leaves(step: Part) -> bool:
    """Whether a step acts on the leaves of a mask, or may do so."""
    return step.name == "masked" or step.options.get("mask") is not None


def _flips(step: Part) -> bool:
    """Whether a step is there to go uphill, or for nothing: it turns the sign, and no more."""
    return step.name == "scale" and _number(step.options["step_size"]) in (-1, 1)


def _number(value: Any) -> float | None:
    """A number, or an array that holds one, as a float; None for all else."""
    try:
        return float(value)
    except Exception:  # traced, or no number
        return None


def _later(steps: list[Part], index: int, holds: Callable[[Part], bool]) -> Part | None:
    return next((step for step in steps[index + 1 :] if holds(step)), None)


def _scale_before(steps: list[Part]) -> Iterator[Finding]:
    for i, step in enumerate(steps):
        rule = _later(steps, i, lambda each: invariant(each) and each.name != "scale_by_cocob")
        clip = _later(steps, i, lambda each: each.name in CLIPS)
        if step.name in SCALES and rule and not clip and not _flips(step):
            text = (
                f"{step.name} before {rule.name} does nothing: {rule.name}'s step does not depend "
                f"on the scale of the gradient. Put the scale after it."
            )
            yield Finding("scale_before_invariant", f"{step.name}, {rule.name}", text)


def _plateau_before(steps: list[Part]) -> Iterator[Finding]:
    for i, step in enumerate(steps):
        rule = _later(steps, i, invariant)
        if step.name in FACTORS and rule is not None:
            text = (
                f"{step.name} before {rule.name} does next to nothing: {rule.name}'s step does not "
                f"depend on the scale of the gradient. Put it after the optimizer."
            )
            yield Finding("plateau_before_invariant", f"{step.name}, {rule.name}", text)


def _clip_after(steps: list[Part]) -> Iterator[Finding]:
    for i, step in enumerate(steps):
        clip = _later(steps, i, lambda each: each.name in CLIPS)
        is_last = _turns(step) or any(map(invariant, steps[:i]))  # and does not undo a loss scale
        if has_rate(step) and is_last and clip is not None:
            text = (
                f"{clip.name} after the learning rate ({step.name}) clips the update, not the "
                f"gradient: it seldom acts, and where it does it caps the step. Put it first."
            )
            yield Finding("clip_after_learning_rate", f"{step.name}, {clip.name}", text)
            return


def _decay_before(steps: list[Part]) -> Iterator[Finding]:
    for i, step in enumerate(steps):
        rule = _later(steps, i, invariant)
        added = any(each.name == "add_decayed_weights" for each in parts(step))
        if (
            added
            and decays(step)
            and rule is not None
            and not invariant(step)
            and rule.name not in _NORMS
        ):
            text = (
                f"add_decayed_weights before {rule.name} is an L2 penalty that {rule.name} "
                f"rescales, not weight decay: large gradients decay less. Put it between "
                f"{rule.name} and the learning rate, or use adamw."
            )
            yield Finding("decay_before_invariant", f"{step.name}, {rule.name}", text)


_NORMS = ("scale_by_trust_ratio", "normalize_by_update_norm", "masked")  # of LARS: meant so


def _keeper_not_last(steps: list[Part]) -> Iterator[Finding]:
    for i, step in enumerate(steps):
        after = _later(steps, i, lambda each: each.name not in WATCHERS)
        if step.keeps_parameters and after is not None:
            text = (
                f"{step.name} is not last: {after.name} changes the update after it, and the "
                f"weights that {step.name} keeps no longer follow the parameters. Put it around "
                f"all of the chain."
            )
            yield Finding("lookahead_not_last", f"{step.name}, {after.name}", text)


def _frozen_decay(steps: list[Part]) -> Iterator[Finding]:
    for i, step in enumerate(steps):
        after = _later(steps, i, lambda each: decays(each) and not _some_leaves(each))
        if _freezes(step) and after is not None:
            text = (
                f"leaves frozen before {after.name} are still its parameters: their gradient is "
                f"zero, but weight decay still moves them. Freeze after the optimizer, or by "
                f"optax.partition with set_to_zero, which also saves their state."
            )
            yield Finding("frozen_before_optimizer", f"{step.name}, {after.name}", text)


def _masked_raw(steps: list[Part]) -> Iterator[Finding]:
    for i, step in enumerate(steps):
        if step.name != "masked" or not has_rate(step) or _all_leaves(step.options.get("mask")):
            continue
        others = [each for j, each in enumerate(steps) if j != i]
        if any(_freezes(each) or (each.name == "masked" and has_rate(each)) for each in others):
            continue
        if any(has_rate(each) for each in steps[:i] + steps[i + 1 :]):
            continue
        text = (
            "leaves outside the mask pass with their raw gradient, which is added to the "
            "parameters: they go uphill at rate 1. Use optax.partition with "
            "optax.set_to_zero() for them."
        )
        yield Finding("masked_passes_gradient", step.name, text)


def _all_leaves(mask: Any) -> bool:
    """Whether a mask is known to leave nothing out."""
    return not callable(mask) and all(each is True for each in jax.tree.leaves(mask))


def _turned_twice(steps: list[Part]) -> Iterator[Finding]:
    turning = [step for step in steps if _turns(step)]
    if len(turning) == 2 and not any(_flips(each) or each.name == "masked" for each in turning):
        first, second = turning
        text = (
            f"{first.name} turns the update downhill, and {second.name} turns it uphill again: an "
            f"optimizer takes gradients, not another's update. Chain rules (scale_by_...) and one "
            f"learning rate; to go uphill on purpose, put optax.scale(-1.0) last."
        )
        yield Finding("turned_twice", f"{first.name}, {second.name}", text)


def _turns(step: Part) -> bool:
    """Whether a step turns the sign of what it is given."""
    if step.members:
        inner = [each for member in step.members.values() for each in _steps(member)]
        return len(step.members) == 1 and sum(map(_turns, inner)) == 1
    if step.library == "adaptive_optax":
        return step.options.get("learning_rate") is not None and step.points_downhill
    if step.name == "scale":
        return (_number(step.options["step_size"]) or 0.0) < 0
    return closed_over(step.options.get("step_size_fn")).get("m") == -1


def _plateau_in_multisteps(part: Part) -> Iterator[Finding]:
    if part.name == "MultiSteps" and any(each.name in FACTORS for each in parts(part)):
        text = (
            "inside optax.MultiSteps a plateau sees the loss of the last micro-batch alone. Use "
            "ao.multi_steps(inner, every), which hands on the mean."
        )
        yield Finding("plateau_in_multisteps", "MultiSteps, reduce_on_plateau", text)


def _clip_in_partition(part: Part) -> Iterator[Finding]:
    moving = [each for each in part.members.values() if each.name != FROZEN]
    if part.name == "partition" and len(moving) > 1:
        clips = (each.name == "clip_by_global_norm" for own in moving for each in parts(own))
        if any(clips):
            text = (
                "clip_by_global_norm inside optax.partition clips each group by its own norm. "
                "To clip by the norm of all, put it before the partition."
            )
            yield Finding("clip_in_partition", "partition, clip_by_global_norm", text)


def _mask_as_schedule(part: Part) -> Iterator[Finding]:
    if part.name == "inject_hyperparams" and callable(part.options.get("mask")):
        text = (
            "optax.inject_hyperparams takes the function given as mask for a schedule and calls "
            "it with the count: name it in static_args='mask'."
        )
        yield Finding("mask_as_schedule", "inject_hyperparams", text)


def _zero_rate(part: Part) -> Iterator[Finding]:
    for name in ("learning_rate", "step_size"):
        value = part.options.get(name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and value == 0 and (name == "learning_rate" or part.name == "scale"):
            text = f"{name} is 0: nothing moves."
            yield Finding("zero_learning_rate", part.name, text)


_HAZARDS = (
    _scale_before,
    _plateau_before,
    _clip_after,
    _decay_before,
    _keeper_not_last,
    _frozen_decay,
    _masked_raw,
    _turned_twice,
)
_LONE = (_plateau_in_multisteps, _clip_in_partition, _mask_as_schedule, _zero_rate)
