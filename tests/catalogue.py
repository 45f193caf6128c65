"""Every case that the library is tested on, one row each; the optimizers' are made of the records.

The contract runs over all rows, README's table is made of them, and `test_catalogue.py` holds that
every public name is here.
"""

import jax
import jax.numpy as jnp
import pytest
from case import Case, by_id, over, several

from adaptive_optax.optimizers.record import OptimizerRecord, Variant, records

__all__ = [
    "CASES",
    "ELSEWHERE",
    "FIRST",
    "MAIN",
    "OPTIMIZERS",
    "WRAPPED",
    "by_id",
    "every",
]


def unit_curvature(params):
    """An estimate of the Hessian's diagonal that is right for a unit quadratic."""
    return jax.tree.map(jnp.ones_like, params)


def row_of(record: OptimizerRecord, variant: str = "") -> Case:
    """The row of an optimizer, or of a variant of it."""
    as_it_is = Variant({}, formula=record.formula, when=record.when)
    known = record.variants[variant] if variant else as_it_is
    rate = known.quadratic_rate or record.quadratic_rate
    options = dict(known.options)
    if record.needs == "hessian":
        options["hessian"] = unit_curvature

    def make(learning_rate=rate):
        return record.constructor(learning_rate, **options)

    others = (f"scale_by_{record.name}", *record.other_names)
    return Case(
        id=variant or record.name,
        make=make,
        names=(record.name, *(() if variant else others)),
        slots=record.slots if known.slots is None else known.slots,
        rate=rate,
        rule=known.formula,
        when=known.when,
        elementwise=record.rule.elementwise,
        memory=record.memory,
        leaves=record.state_leaves,
    )


OPTIMIZERS = [
    row_of(record, variant) for record in records().values() for variant in ("", *record.variants)
]

_BY_ID = {row.id: row for row in OPTIMIZERS}

WRAPPED = [
    over("lookahead", "lookahead(momentum)", _BY_ID["momentum"], 2, also=("eval_params",)),
    over(
        "lookahead",
        "lookahead(adam)",
        _BY_ID["adam"],
        3,
        rule="every k steps: anchor += s (p - anchor), p = anchor",
        when="over any optimizer that oscillates",
    ),
    over("lookahead", "lookahead(adam)-reset", _BY_ID["adam"], 3, options={"at_sync": "reset"}),
    over(
        "lookahead",
        "lookahead(momentum)-pullback",
        _BY_ID["momentum"],
        3,
        options={"at_sync": "pullback"},
    ),
    over(
        "schedule_free",
        "schedule_free(sgd)",
        _BY_ID["sgd"],
        2,
        rule="z += u, average += c (z - average), p = (1-b1) z + b1 average",
        when="the length of the run is not known; no schedule",
    ),
    over("schedule_free", "schedule_free(adamw)", _BY_ID["adamw"], 4),
    over(
        "averaged",
        "averaged(adam)",
        _BY_ID["adam"],
        3,
        rule="average += (k+1) / (t+k) (p - average), to evaluate with",
        when="over an optimizer that ends in noise",
    ),
    over(
        "cautious",
        "cautious(adam)",
        _BY_ID["adam"],
        2,
        rule="u where it goes down the gradient, scaled up to make good for the rest",
        when="over an optimizer with momentum",
        elementwise=False,
    ),
    over(
        "guarded",
        "guarded(adam)",
        _BY_ID["adam"],
        2,
        rule="u, but nothing where a fault or a spike would be taken in",
        when="in long runs, around any optimizer",
        options={"norm_sigmas": 6.0},
        elementwise=False,
    ),
    several(
        "blend",
        "blend(adam+momentum)-hedge",
        {"adam": _BY_ID["adam"], "momentum": _BY_ID["momentum"]},
        5,
        options={"adapt": "hedge"},
        rule="u = sum w n u_i / n_i, n = sum w n_i; w given, or learned by hedge or hypergradient",
        when="one member's weakness is another's strength",
        memory="all members' + 1 a member where weights learn",
        elementwise=False,
    ),
    several(
        "switch",
        "switch(adam->momentum)-at",
        {"adam": _BY_ID["adam"], "momentum": _BY_ID["momentum"]},
        3,
        options={"at": [3]},
        rule="u of the active member; the next one at a step, a plateau, by SWATS or a bandit",
        when="a fast start by one, an end by another",
        memory="all members'",
    ),
]

CASES = [*OPTIMIZERS, *WRAPPED]
MAIN = [
    row for row in CASES if row.rule
]  # one row a name, for what takes long and no option changes
FIRST = [
    row if row in MAIN[::4] else pytest.param(row, marks=pytest.mark.slow) for row in CASES
]  # all rows, the variants and three names of four among the slow tests


def every(step: int, rows: list) -> list:
    """All of them, one of so many at once and the others among the slow tests."""
    slow = pytest.mark.slow
    return [row if i % step == 0 else pytest.param(row, marks=slow) for i, row in enumerate(rows)]


# Public names that are no optimizers of their own; their tests stand where named.
ELSEWHERE = {
    "ema": "test_parts.py",
    "bias_correction": "test_parts.py",
    "descend": "test_parts.py",
    "leafwise": "test_parts.py",
    "preset": "test_goldens.py",
    "schedules": "test_schedules.py",
    "learning_rate_of": "test_learning_rate_control.py",
    "set_learning_rate": "test_learning_rate_control.py",
    "lr_range_test": "test_range_test.py",
    "suggested_range": "test_suggested_range.py",
    "reduce_on_plateau": "test_plateau.py",
    "multi_steps": "test_multi_steps.py",
    "hypergradient": "test_hypergradient.py",
    "layerwise_decay": "test_layerwise.py",
    "gradual_unfreezing": "test_layerwise.py",
    "layers_of": "test_layers.py",
    "warm_start": "test_warm_start.py",
    "smoothed": "test_smoothed.py",
    "variance_reduced": "test_variance_reduced.py",
    "gradient_noise_scale": "test_noise_scale.py",
    "hard_example_weights": "test_hard_examples.py",
    "monitored": "test_monitored.py",
    "metrics": "test_monitored.py",
    "explain": "test_explain.py",
    "rounded": "test_rounded.py",
    "stored": "test_stored.py",
    "bfloat16": "test_stored_numbers.py",
    "minifloat8": "test_stored_numbers.py",
    "int8": "test_stored_numbers.py",
    "int4": "test_stored_numbers.py",
    "factored": "test_stored_numbers.py",
    "register_state": "test_stored.py",
    "state_bytes": "test_stored.py",
    "restore_checkpoint": "test_checkpoint_files.py",
    "save_checkpoint": "test_checkpoint_files.py",
    "state_dict": "test_state_dict.py",
    "load_state_dict": "test_load_state_dict.py",
    "state_shardings": "test_state_shardings.py",
    "partitioned": "test_partitioned.py",
    "sinks": "test_sinks.py",
    "MatrixView": "test_matrices.py",
    "Rule": "test_rules_as_data.py",
    "Step": "test_rules_as_data.py",
    "hutchinson": "test_sophia.py",
    "gauss_newton_bartlett": "test_sophia.py",
}
