"""explain: every hazard where it holds, none on what is sound, and what is printed."""

import inspect

import jax
import jax.numpy as jnp
import optax
import pytest

import adaptive_optax as ao
from adaptive_optax.cli import main
from adaptive_optax.introspection.chain_lint import hazards
from adaptive_optax.introspection.structure import structure

FIRST, LAST = {"a": True, "b": False}, {"a": False, "b": True}
LABELS = {"a": "x", "b": "y"}
WARM = optax.warmup_cosine_decay_schedule(0.0, 1.0, 10, 100)
PARAMS = {"a": jnp.ones(2), "b": jnp.ones(3)}

adam, adamw, sgd, chain, masked = optax.adam, optax.adamw, optax.sgd, optax.chain, optax.masked
clip, zero, plateau = optax.clip_by_global_norm, optax.set_to_zero, ao.reduce_on_plateau


def kinds(tx):
    return [found.kind for found in hazards(structure(tx))]


def split(x, y):
    return optax.partition({"x": x, "y": y}, LABELS)


def gathered(tx):
    return optax.MultiSteps(tx, 4).gradient_transformation()


def optimizers(module):
    """Constructors of optimizers, by name, with a learning rate where they need one."""
    for name, make in vars(module).items():
        if not inspect.isfunction(make) or name.startswith("scale_by_"):
            continue
        needed = {
            p.name
            for p in inspect.signature(make).parameters.values()
            if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        }
        first = next(iter(inspect.signature(make).parameters), "")
        if "learning_rate" in first and needed <= {first}:
            yield pytest.param(make, id=f"{module.__name__}.{name}")


@pytest.mark.filterwarnings("ignore")  # some are deprecated
@pytest.mark.parametrize("make", [*optimizers(optax), *optimizers(optax.contrib), *optimizers(ao)])
@pytest.mark.parametrize("rate", [0.1, WARM])
def test_nothing_is_found_in_any_optimizer(make, rate):
    try:
        tx = make(rate)
    except (TypeError, ValueError):
        pytest.skip("takes no schedule")
    assert kinds(tx) == []
    assert kinds(chain(clip(1.0), tx)) == []


def test_there_are_optimizers():
    assert all(list(optimizers(module)) for module in (optax, optax.contrib, ao))


SOUND = {
    "by hand": chain(
        optax.scale_by_adam(),
        optax.add_decayed_weights(0.1),
        optax.scale_by_schedule(WARM),
        optax.scale(-1.0),
    ),
    "l2 by sgd": chain(optax.add_decayed_weights(0.1), sgd(0.1, momentum=0.9)),
    "no decay before adam": chain(optax.add_decayed_weights(0.0), adam(0.1)),
    "lars with decay": optax.lars(0.1, weight_decay=1e-4),
    "clip of the direction": chain(optax.scale_by_adam(), optax.clip(1.0), optax.scale(-0.1)),
    "loss scale, clip": chain(optax.scale(1 / 1024), clip(1.0), adam(0.1)),
    "loss scale, sgd": chain(optax.scale(1 / 1024), sgd(0.1)),
    "plateau after": chain(adam(0.1), optax.contrib.reduce_on_plateau()),
    "our plateau after": chain(ao.adam(0.1), plateau()),
    "plateau before sgd": chain(plateau(), sgd(0.1)),
    "plateau in multi_steps": ao.multi_steps(chain(adam(0.1), plateau()), 4),
    "plateau outside MultiSteps": chain(gathered(adam(0.1)), plateau()),
    "clip in MultiSteps": gathered(chain(clip(1.0), adam(0.1))),
    "frozen by a partition": split(chain(clip(1.0), adamw(0.1)), zero()),
    "clip before a partition": chain(clip(1.0), split(adam(0.1), sgd(0.1))),
    "a scale for one of two": chain(optax.scale(0.1), split(adam(0.1), sgd(0.1))),
    "frozen after": chain(adamw(0.1), masked(zero(), FIRST)),
    "frozen before sgd": chain(masked(zero(), FIRST), sgd(0.1, momentum=0.9)),
    "selective": optax.transforms.selective_transform(adamw(0.1), freeze_mask=FIRST),
    "two masks": chain(masked(adam(0.1), FIRST), masked(sgd(0.1), LAST)),
    "a mask, the rest frozen": chain(masked(adamw(0.1), FIRST), masked(zero(), LAST)),
    "the rest frozen, a mask": chain(masked(zero(), LAST), masked(adamw(0.1), FIRST)),
    "a mask of all": masked(adam(0.1), {"a": True, "b": True}),
    "a masked scale": chain(adam(0.1), masked(optax.scale(0.1), FIRST)),
    "a masked decay": adamw(0.1, mask=FIRST),
    "uphill": chain(adam(0.1), optax.scale(-1.0)),
    "maximize": chain(optax.scale(-1.0), ao.adam(0.1)),
    "lookahead last": chain(clip(1.0), ao.lookahead(adam(0.1))),
    "lookahead of a chain": ao.monitored(ao.lookahead(chain(clip(1.0), adam(0.1)))),
    "lookahead and a watcher": chain(ao.lookahead(ao.adam(0.1)), optax.identity()),
    "schedule_free": ao.schedule_free(ao.adam(0.1, b1=0.0)),
    "injected": optax.inject_hyperparams(adam)(0.1),
    "injected warm-up": optax.inject_hyperparams(ao.adamw)(WARM),
    "injected mask": optax.inject_hyperparams(adamw, static_args="mask")(0.1, mask=lambda p: p),
    "finite": optax.apply_if_finite(chain(clip(1.0), adam(0.1)), 3),
    "mechanized": optax.contrib.mechanize(adam(1.0)),
    "sharpness": optax.contrib.sam(adam(0.1), chain(optax.contrib.normalize(), sgd(0.05))),
    "line search": chain(sgd(1.0), optax.scale_by_backtracking_linesearch(10)),
    "layers": ao.gradual_unfreezing(ao.layerwise_decay(adamw(0.1)), 3),
    "hypergradient": ao.hypergradient(ao.adam(0.1)),
    "cautious": ao.cautious(ao.lion(0.1, weight_decay=0.1)),
    "descend": ao.descend(chain(ao.scale_by_adam(), optax.scale(0.5)), WARM, weight_decay=0.1),
    "frozen": zero(),
    "somebody's own": optax.GradientTransformation(tuple, lambda g, s, p=None: (g, s)),
    "stateless": optax.stateless(lambda updates, params: updates),
}

BAD = {
    "scale_before_invariant": [
        chain(optax.scale(0.1), adam(0.1)),
        chain(optax.scale_by_schedule(WARM), ao.lion(0.1)),
        chain(optax.scale(0.1), ao.lookahead(adam(0.1))),
        ao.lookahead(chain(optax.scale(0.1), adam(0.1))),
        split(chain(optax.scale(0.1), adam(0.1)), sgd(0.1)),
        chain(optax.scale(0.1), split(adam(0.1), ao.lion(0.1))),
        optax.apply_if_finite(chain(optax.scale(jnp.float32(0.1)), adam(0.1)), 3),
    ],
    "plateau_before_invariant": [
        chain(plateau(), ao.adamw(0.1)),
        chain(optax.contrib.reduce_on_plateau(), chain(adam(0.1))),
    ],
    "clip_after_learning_rate": [
        chain(adam(0.1), clip(1.0)),
        chain(ao.adam(0.1), optax.clip(1.0)),
        chain(optax.scale_by_adam(), optax.scale_by_schedule(WARM), clip(1.0), optax.scale(-1.0)),
    ],
    "decay_before_invariant": [
        chain(optax.add_decayed_weights(0.1), adam(0.1)),
        chain(masked(optax.add_decayed_weights(0.1), FIRST), ao.adam(0.1)),
    ],
    "lookahead_not_last": [
        chain(ao.lookahead(ao.adam(0.1)), optax.scale(0.5)),
        chain(ao.schedule_free(ao.sgd(0.1)), plateau()),
        chain(ao.averaged(ao.sgd(0.1)), masked(zero(), FIRST)),
    ],
    "frozen_before_optimizer": [
        chain(masked(zero(), FIRST), adamw(0.1)),
        chain(optax.transforms.freeze(FIRST), ao.adamw(0.1)),
    ],
    "masked_passes_gradient": [
        masked(adam(0.1), FIRST),
        chain(clip(1.0), masked(ao.adam(0.1), FIRST)),
        ao.lookahead(masked(adam(0.1), lambda params: FIRST)),
    ],
    "turned_twice": [
        chain(adam(0.1), sgd(0.1)),
        chain(ao.adam(0.1), ao.sgd(0.1)),
        chain(ao.adam(0.1), optax.scale(-0.1)),
        chain(ao.lion(0.1), optax.scale_by_learning_rate(WARM)),
    ],
    "plateau_in_multisteps": [gathered(chain(adam(0.1), plateau()))],
    "clip_in_partition": [split(chain(clip(1.0), adam(0.1)), sgd(0.1))],
    "mask_as_schedule": [optax.inject_hyperparams(adamw)(0.1, mask=lambda p: p["a"].shape)],
    "zero_learning_rate": [adam(0.0), ao.adam(0.0), chain(optax.scale_by_adam(), optax.scale(0.0))],
    "no_learning_rate": [
        optax.scale_by_adam(),
        chain(clip(1.0), ao.scale_by_lion()),
        ao.scale_by_prodigy(),
        optax.adadelta(),  # its default goes uphill
    ],
}


@pytest.mark.parametrize("name", SOUND)
def test_nothing_is_found_in_what_is_sound(name):
    assert kinds(SOUND[name]) == []


@pytest.mark.parametrize(
    ("kind", "tx"), [pytest.param(kind, tx, id=kind) for kind, each in BAD.items() for tx in each]
)
def test_each_hazard_is_found_where_it_holds(kind, tx):
    assert kind in kinds(tx)
    assert kind in kinds(ao.monitored(tx))
    assert set(kinds(tx)) <= {kind, "decay_before_invariant", "scale_before_invariant"}


def test_the_hazards_harm_indeed():
    """What is said of them, on numbers."""

    def moved(tx, grads=PARAMS, params=PARAMS):
        return tx.update(grads, tx.init(params), params)[0]

    assert moved(optax.adadelta())["a"][0] > 0
    assert moved(masked(adam(0.1), FIRST))["b"][0] == 1
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    assert moved(BAD["frozen_before_optimizer"][0], zeros)["a"][0] < 0
    assert moved(chain(masked(zero(), FIRST), adam(0.1)))["a"][0] == 0
    assert moved(chain(adam(0.1), sgd(0.1)))["a"][0] > 0
    one, other = (moved(chain(optax.scale(k), adam(0.1, eps=0.0)))["a"] for k in (0.125, 1.0))
    assert one.tolist() == other.tolist()


def test_what_is_printed_is_what_is_returned(capsys):
    found = ao.explain(optax.chain(optax.scale(0.5), ao.adam(WARM, b1=0.8)))
    printed = capsys.readouterr().out
    assert printed == f"{found}\n"
    assert "chain\n├─ optax.scale(step_size=0.5)\n└─ ao.adam(learning_rate=" in printed
    assert "b1=0.8" in printed
    assert "\n1. scale before adam does nothing" in printed
    assert [each.where for each in found.findings] == ["scale, adam"]
    assert repr(found) == "<Explanation: 1 finding>"
    assert repr(ao.explain(ao.adam(0.1))) == "<Explanation: 0 findings>"
    assert all(len(line) <= 96 for line in found.splitlines())


def test_with_params_the_rates_are_told_by_leaf(capsys):
    assert "first learning rate 0.1\n" in ao.explain(ao.adam(0.1), PARAMS)
    tx = split(optax.sgd(0.1), zero())
    shapes = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, p.dtype), PARAMS)
    for params in (PARAMS, shapes):
        assert "first learning rates\n  a: 0.1\n  b: 0\n" in ao.explain(tx, params)
    assert "first learning rate not known" in ao.explain(optax.scale_by_adam(), PARAMS)
    assert "first learning rate not known" in ao.explain(optax.polyak_sgd(), PARAMS)


@pytest.mark.parametrize(
    "tx", [*SOUND.values(), *(tx for each in BAD.values() for tx in each), ao.muon(0.1)]
)
def test_anything_can_be_shown(tx):
    assert ao.explain(tx).endswith(".") or ao.explain(tx)


def test_what_is_no_transformation_is_refused():
    with pytest.raises(TypeError, match=r"^explain\(tx=adam\): tx must be an optax transformation"):
        ao.explain(optax.adam)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["optax.adamw"], 0, "optax.add_decayed_weights"),
        (["adaptive_optax:lion"], 0, "ao.lion(learning_rate="),
        (["optax.scale_by_adam"], 1, "there is no learning rate"),
        (["optax.adamww"], 2, "did you mean 'adamw'"),
        (["no_such_module.adam"], 2, "there is no module 'no_such_module'"),
    ],
)
def test_the_command(words, code, text, capsys):
    assert main(["explain", *words]) == code
    out, err = capsys.readouterr()
    assert text in (err if code == 2 else out)
    assert "contract" not in err
