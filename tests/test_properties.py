"""What every rule does when signs, places, leaves, the loss's scale or its axes change.

Gradients are given, so that a change of them alone tells. Every row of the catalogue is asked, and
has its explicit answer where rules differ.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import CASES, by_id, every

import adaptive_optax as ao

STEPS = 23  # SOAP turns its bases at the 11th and the 21st
SHAPES = {"first": (4, 4), "second": (4, 4), "vector": (8,)}
DRAW = np.random.default_rng(0)
START = {leaf: DRAW.standard_normal(shape) for leaf, shape in SHAPES.items()}
GRADIENTS = {
    leaf: DRAW.standard_normal((STEPS, *shape)) * 10 ** DRAW.uniform(-1, 1, shape)
    for leaf, shape in SHAPES.items()
}
PLACES = {4: np.array([2, 0, 3, 1]), 8: np.array([5, 2, 7, 0, 3, 6, 1, 4])}
LEFT, RIGHT = (np.linalg.qr(np.random.default_rng(i).standard_normal((4, 4)))[0] for i in (0, 1))


def lines_moved(leaf: str, x: np.ndarray) -> np.ndarray:
    """A leaf, steps before it or not, with its rows and its columns in other places."""
    for axis in range(-len(SHAPES[leaf]), 0):
        x = np.take(x, PLACES[x.shape[axis]], axis)
    return x


def all_moved(leaf: str, x: np.ndarray) -> np.ndarray:
    """With all coordinates in other places, each in any row and column."""
    shape = SHAPES[leaf]
    order = np.random.default_rng(1).permutation(int(np.prod(shape)))
    return x.reshape(-1, order.size)[:, order].reshape(x.shape)


def turned(leaf: str, x: np.ndarray) -> np.ndarray:
    return x if leaf == "vector" else LEFT @ x @ RIGHT.T


def swapped(tree: dict) -> dict:
    return {"first": tree["second"], "second": tree["first"], "vector": tree["vector"]}


def each(function: Any, tree: dict) -> dict:
    return {leaf: function(leaf, x) for leaf, x in tree.items()}


# The loss is asked at a size beside which every eps is nothing; but some rules show only at another
# one that they neither grow with it, as SGD does, nor ignore it.
NEITHER = {
    "adam-l2": (2.0**-6, "the penalty has the scale of the parameters"),
    "radam": (1.0, "its steps before the rectifier is defined are the gradient's"),
    "mars": (2.0**-4, "its clip acts on norms above 1"),
    "blend(adam+momentum)-hedge": (1.0, "it mixes steps of both kinds"),
    "switch(adam->momentum)-at": (1.0, "it goes from one kind to the other"),
    "sophia": (2.0**-12, "the curvature is given, and does not grow with the loss here"),
}
WORLDS = {
    "plain": (START, GRADIENTS),
    "mirrored": tuple(each(lambda _, x: -x, tree) for tree in (START, GRADIENTS)),
    "lines moved": tuple(each(lines_moved, tree) for tree in (START, GRADIENTS)),
    "all moved": tuple(each(all_moved, tree) for tree in (START, GRADIENTS)),
    "swapped": tuple(swapped(tree) for tree in (START, GRADIENTS)),
    "other company": (START, {**GRADIENTS, "second": 3 * GRADIENTS["second"]}),
    "turned": tuple(each(turned, tree) for tree in (START, GRADIENTS)),
}


@functools.cache
def steps_in_worlds(row: Any) -> dict[str, Any]:
    """The updates in each world and for a loss times 1 and 4, in float64, by one program."""
    tx = row.make()
    size, _ = NEITHER.get(row.id, (2.0**30, ""))
    worlds = {
        **WORLDS,
        **{c: (START, each(lambda _, g, c=c: c * size * g, GRADIENTS)) for c in (1, 4)},
    }

    def step(carry, grads):
        params, state = carry
        updates, state = tx.update(grads, state, params)
        params = jax.tree.map(jnp.add, params, updates)
        return (params, state), updates

    def run(world):
        start, gradients = world
        return jax.lax.scan(step, (start, tx.init(start)), gradients)[1]

    with jax.enable_x64(True):
        stacked = jax.tree.map(lambda *x: jnp.stack(x), *worlds.values())
        found = jax.tree.map(np.asarray, jax.jit(lambda w: jax.lax.map(run, w))(stacked))
    return {name: {leaf: x[i] for leaf, x in found.items()} for i, name in enumerate(worlds)}


def apart(one: dict, other: dict) -> float:
    """The largest difference of two trees, in parts of the largest number of a leaf."""
    return max(float(np.abs(one[leaf] - x).max() / np.abs(x).max()) for leaf, x in other.items())


@pytest.mark.parametrize("row", every(3, CASES), ids=by_id)
def test_steps_of_the_mirrored_loss_are_mirrored_bit_for_bit(row):
    """f(-x) from -x: every rule is odd."""
    found = steps_in_worlds(row)
    assert apart(found["mirrored"], each(lambda _, x: -x, found["plain"])) == 0


MATRIX_RULES = ("adafactor", "muon", "soap", "soap-blocks")


@pytest.mark.parametrize("row", CASES, ids=by_id)
def test_moved_coordinates_move_their_steps(row):
    """Bit for bit where a coordinate's step depends on it alone; a norm has sums to round."""
    found = steps_in_worlds(row)
    moved = apart(found["all moved"], each(all_moved, found["plain"]))
    if row.id in MATRIX_RULES:
        assert moved > 1e-2
    else:
        assert moved <= (0 if row.elementwise else 1e-11)


@pytest.mark.parametrize("row", CASES, ids=by_id)
def test_moved_rows_and_columns_move_their_steps(row):
    """This much matrix rules keep, too; but blocks are of neighbours."""
    found = steps_in_worlds(row)
    moved = apart(found["lines moved"], each(lines_moved, found["plain"]))
    if row.id == "soap-blocks":
        assert moved > 1e-2
    else:
        assert moved <= (0 if row.elementwise else 1e-9)


TREE_RULES = ("prodigy", "dadapt_adam", "dog", "dowg", "blend(adam+momentum)-hedge")


@pytest.mark.parametrize("row", CASES, ids=by_id)
def test_the_order_of_leaves_does_not_matter(row):
    found = steps_in_worlds(row)
    moved = apart(found["swapped"], swapped(found["plain"]))
    assert moved <= (1e-12 if row.id in TREE_RULES else 0)


@pytest.mark.parametrize("row", CASES, ids=by_id)
def test_leaves_know_of_each_other_only_in_tree_rules(row):
    found = steps_in_worlds(row)
    first = apart({"first": found["other company"]["first"]}, {"first": found["plain"]["first"]})
    assert first > 1e-2 if row.id in TREE_RULES else first == 0


LINEAR = (
    *("sgd", "momentum", "nesterov"),
    *("lookahead(momentum)", "lookahead(momentum)-pullback", "schedule_free(sgd)"),
)


@pytest.mark.parametrize("row", CASES, ids=by_id)
def test_steps_for_a_loss_times_4(row):
    """4 times as large for SGD, the same for all that normalize, and neither for a reason."""
    found = steps_in_worlds(row)
    same, linear = apart(found[4], found[1]), apart(found[4], each(lambda _, x: 4 * x, found[1]))
    if row.id in NEITHER:
        assert min(same, linear) > 1e-2
    elif row.id in LINEAR:
        assert linear < 1e-9 < same
    else:
        assert same < 1e-6 < linear


TURNING = (
    *LINEAR,
    "lars",
    "novograd",
    "novograd-decay",
    "dog",
    "dowg",
    "muon",
    "soap",
    "switch(adam->momentum)-at",
)


@pytest.mark.parametrize("row", CASES, ids=by_id)
def test_steps_turn_with_the_axes_of_matrices(row):
    """G -> A G B': SGD's steps do, those of norms, and those in a basis or along singular vectors.

    Of square matrices of full rank: in a null space a basis is arbitrary. The last steps are
    asked, as RAdam's first ones are SGD's.
    """
    found = steps_in_worlds(row)
    last, plain = (
        {k: tree[k][-5:] for k in ("first", "second")} for tree in (found["turned"], found["plain"])
    )
    moved = apart(last, each(turned, plain))
    assert moved < 1e-8 if row.id in TURNING else moved > 1e-2


# Rules that find the distance ---------------------------------------------------------------------

DISTANCES = 10.0 ** np.arange(-3, 4)
# DoWG's estimate never falls, so that its first one, 0.01, is 10 times the distance 1e-3.
NEARER = {"initial_distance": 1e-4}
ESTIMATES = [  # (rule, options, bounds of estimate / distance)
    ("prodigy", {}, 0.38, 0.84),
    ("dadapt_adam", {}, 1.62, 2.35),
    ("dog", {}, 1.01, 1.17),
    ("dowg", NEARER, 1.02, 1.84),
]


def estimates(name: str, options: dict, slope: float) -> np.ndarray:
    """What the rule finds for the distances, over these, on slope |x - distance| from 0."""
    tx = getattr(ao, name)(**options)

    def final(target):
        def step(carry, _):
            p, state = carry
            updates, state = tx.update(slope * jnp.sign(p - target), state, p)
            return (p + updates, state), None

        start = jnp.float32(0.0)
        state = jax.lax.scan(step, (start, tx.init(start)), length=1000)[0][1]
        return (state.inner_state if name == "dog" else state).shared.distance

    return np.asarray(jax.jit(jax.vmap(final))(jnp.asarray(DISTANCES, jnp.float32))) / DISTANCES


@pytest.mark.parametrize("slope", [0.01, 1.0, 1e4])
@pytest.mark.parametrize(("name", "options", "least", "most"), ESTIMATES)
def test_estimates_are_within_a_factor_of_4_of_the_distance(name, options, least, most, slope):
    found = estimates(name, options, slope)
    assert 1 / 4 < least < found.min() < found.max() < most < 4


def test_dowg_cannot_find_a_distance_below_its_first_one():
    found = estimates("dowg", {}, 1.0)
    np.testing.assert_allclose(found[0], 10.0, rtol=1e-6)
    assert found[1:].max() < 4
