"""The contract as a list: every property by name, with its promise in a line."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from adaptive_optax.core.checks import suggestion
from adaptive_optax.testing import (
    company,
    export,
    lasting,
    leaves,
    numbers,
    sense,
    shapes,
    sharding,
    state,
    strictness,
)
from adaptive_optax.testing.subject import Subject


class Property(NamedTuple):
    """One promise of the contract, which is one cell of a report."""

    name: str
    theme: str
    promise: str
    check: Callable[[Subject], None]  # raises BrokenError with evidence, or NotApplicableError


def _theme(theme: str, *rows: tuple[Callable[[Subject], None], str]) -> list[Property]:
    return [Property(check.__name__, theme, promise, check) for check, promise in rows]


CONTRACT = (
    *_theme(
        "state",
        (
            state.fixed_point,
            "the state keeps tree, shapes, dtypes and weak types, for float32, bfloat16 and "
            "float16 parameters under gradients of each; one trace does for all steps",
        ),
        (state.eager_jit_scan, "eager, jit, scan and cond give the same; nothing hides outside"),
    ),
    *_theme(
        "numbers",
        (numbers.wide_slots, "slots are float32 or wider for bfloat16 and float16 parameters"),
        (
            numbers.update_dtype,
            "updates have the dtype of their parameter, whatever the gradient's",
        ),
        (
            numbers.bfloat16_run,
            "over thousands of steps bfloat16 parameters get the updates that float32 ones get",
        ),
        (
            numbers.huge_gradients,
            "gradients of 1e20 (6e4 in float16) give finite updates and finite state",
        ),
        (numbers.after_huge, "after one gradient of 1e20 every coordinate moves again"),
        (numbers.tiny_gradients, "gradients of 0 and 1e-30 give finite updates in every dtype"),
    ),
    *_theme(
        "leaves",
        (leaves.none_leaves, "None is passed over: as a leaf, and as the gradient of a frozen one"),
        (leaves.integer_leaves, "integer and bool leaves with zero gradients keep their values"),
        (leaves.float0_gradients, "float0, jax's gradient of an integer, leaves it as it is"),
        (leaves.odd_shapes, "leaves without axes or without elements, and empty trees, work"),
        (leaves.complex_leaves, "turning complex parameters and gradients turns their updates"),
    ),
    *_theme(
        "shapes",
        (shapes.abstract_init, "init works on ShapeDtypeStructs, and under eval_shape"),
        (shapes.vmap, "vmap over seeds, and over learning rates, gives what each gives alone"),
        (shapes.traced_rate, "the learning rate may be traced, and differentiated through"),
    ),
    *_theme(
        "sharding",
        (
            sharding.sharded_slots,
            "jit(init) of sharded parameters gives slots sharded alike, on Auto and Explicit "
            "meshes, and updates keep that",
        ),
        (sharding.sharded_updates, "sharded parameters get the updates that one device gives"),
    ),
    *_theme(
        "company",
        (
            company.optax_wrappers,
            "trains inside optax's chain, masked, partition, MultiSteps, apply_if_finite, "
            "conditionally_mask and inject_hyperparams, under jit and scan",
        ),
        (company.train_state, "trains in flax's TrainState under jit with donation"),
        (company.nnx_optimizer, "trains in flax's nnx.Optimizer"),
        (company.extra_arguments, "update lets arguments through that are meant for others"),
    ),
    *_theme(
        "strictness",
        (
            strictness.strict_settings,
            "runs under strict dtype promotion, without rank promotion, and under debug_nans",
        ),
        (strictness.no_warnings, "builds and runs without a warning"),
    ),
    *_theme(
        "sense",
        (sense.descends, "it goes down a quadratic as it is built by default"),
        (sense.rate_zero, "learning rate 0 moves nothing"),
        (sense.zero_gradients, "zero gradients move nothing, but for decay towards zero"),
    ),
    *_theme(
        "lasting",
        (lasting.msgpack, "the state comes back bit for bit from flax's msgpack"),
        (lasting.orbax, "the state comes back bit for bit from an orbax checkpoint"),
        (
            lasting.state_by_name,
            "optax.tree.map_params finds each slot, optax.tree.get mu, nu and trace",
        ),
    ),
    *_theme(
        "targets",
        (export.exports, "jax.export lowers init and update for cpu, cuda and tpu"),
    ),
)

PROPERTIES = {each.name: each.promise for each in CONTRACT}


def chosen(
    function: str, properties: str | Iterable[str] | None, without: str | Iterable[str]
) -> list[Property]:
    """The properties of those names, in the contract's order.

    Args:
      function: what errors name.
      properties: names, in one text with commas or several; None for all.
      without: names to leave out.

    Raises:
      ValueError: for a name that is not known, or where nothing is left.

    >>> [each.name for each in chosen("check_contract", "vmap,descends", "vmap")]
    ['descends']
    """
    wanted = list(PROPERTIES) if properties is None else _names(function, "properties", properties)
    unwanted = _names(function, "without", without)
    found = [p for p in CONTRACT if p.name in wanted and p.name not in unwanted]
    if not found:
        raise ValueError(f"{function}(properties={properties!r}): no property is left to check.")
    return found


def _names(function: str, argument: str, names: str | Iterable[str]) -> list[str]:
    words = names.split(",") if isinstance(names, str) else list(names)
    words = [word.strip() for word in words if word != ""]
    for word in words:
        if word not in PROPERTIES:
            near = suggestion(word, tuple(PROPERTIES))
            if "did you mean" not in near:
                near = "; ao.testing.PROPERTIES lists them."
            raise ValueError(f"{function}({argument}={word!r}): no property has this name{near}")
    return words
