"""Which leaves Muon and SOAP take for matrices, how they read them, and what they make of one."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import grads_of, run

import adaptive_optax as ao
from adaptive_optax.core.matrices import blocks_of
from adaptive_optax.core.matrices import orthogonalized as orthogonalized_by
from adaptive_optax.optimizers.muon import QUINTIC

PARAMS = {
    "conv": jnp.ones((3, 3, 2, 4)),
    "dense": jnp.ones((5, 4)),
    "embedding": jnp.ones((7, 3)),
    "bias": jnp.ones(4),
    "scale": jnp.ones(()),
}


def matrices_of(state):
    """The leaves of which a split's first part remembers anything."""
    return {key for key, x in state.chosen.slots.trace.items() if x is not None}


LABELS = {"conv": True, "dense": ao.MatrixView(), "embedding": False, "bias": False, "scale": False}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"conv", "dense", "embedding"}),
        ({"matrices": LABELS}, {"conv", "dense"}),
        ({"matrices": lambda p: {**jax.tree.map(lambda _: False, p), "dense": True}}, {"dense"}),
        ({"matrices": False}, set()),
    ],
    ids=["default", "tree", "function", "none"],
)
def test_which_leaves_are_matrices(options, expected):
    muon = ao.scale_by_muon(**options).init(PARAMS)
    assert matrices_of(muon) == expected
    soap = ao.scale_by_soap(**options).init(PARAMS)
    assert {key for key, x in soap.slots.left.items() if x is not None} == expected


def test_the_rest_has_adam_or_what_is_given():
    """All is at the same learning rate."""
    params = {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}
    gradients = [grads_of(params, seed) for seed in range(3)]
    for rest, alone in ((None, ao.adam(0.1)), (ao.scale_by_lion(), ao.lion(0.1))):
        _, _, found = run(ao.muon(0.1, rest=rest), params, gradients)
        _, _, expected = run(alone, params["bias"], [g["bias"] for g in gradients])
        for updates, bias in zip(found, expected, strict=True):
            np.testing.assert_array_equal(updates["bias"], bias)
    tenth = ao.muon(0.1, rest=optax.chain(ao.scale_by_lion(), optax.scale(0.1)), matrices=False)
    updates, _ = tenth.update(gradients[0], tenth.init(params), params)
    np.testing.assert_allclose(jnp.abs(updates["kernel"]), 0.01, rtol=1e-6)


def test_the_mask_of_the_decay_is_of_all_leaves():
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    zeros = jax.tree.map(jnp.zeros_like, params)
    for mask, expected in (({"kernel": True, "bias": False}, (0.95, 1.0)), (None, (0.95, 0.95))):
        moved, _, _ = run(ao.muon(0.1, weight_decay=0.5, mask=mask), params, [zeros])
        for key, value in zip(("kernel", "bias"), expected, strict=True):
            np.testing.assert_allclose(moved[key], value, rtol=1e-6)


VIEWS = [  # (view, shape of the leaf, as stack, rows and columns)
    (ao.MatrixView(), (5, 4), (1, 5, 4)),
    (ao.MatrixView(), (3, 3, 2, 4), (1, 18, 4)),
    (ao.MatrixView(outputs=2), (6, 2, 3), (1, 6, 6)),
    (ao.MatrixView(stacked=1), (2, 5, 4), (2, 5, 4)),
    (ao.MatrixView(stacked=2, outputs=2), (2, 3, 4, 2, 2), (6, 4, 4)),
]


@pytest.mark.parametrize(
    ("name", "view", "shape", "matrix"),
    [*(("muon", *view) for view in VIEWS), *(("soap", *view) for view in VIEWS[1::2])],
)
def test_a_leaf_is_what_its_view_reads(name, view, shape, matrix):
    """The same steps as its matrices have, one leaf each."""
    assert view.shape(shape) == matrix
    draw = np.random.default_rng(0)
    gradients = [jnp.asarray(draw.standard_normal(shape), jnp.float32) for _ in range(3)]
    tx, plain = getattr(ao, name)(0.1, matrices=view), getattr(ao, name)(0.1)
    _, _, found = run(tx, jnp.zeros(shape), gradients)
    apart = [list(g.reshape(matrix)) for g in gradients]
    _, _, expected = run(plain, list(jnp.zeros(matrix)), apart)
    for u, each in zip(found, expected, strict=True):
        np.testing.assert_allclose(u.reshape(matrix), jnp.stack(each), atol=2e-4)


@pytest.mark.parametrize("name", ["muon", "soap"])
def test_views_that_are_refused(name):
    make = getattr(ao, name)
    with pytest.raises(TypeError, match=rf"^{name}\(matrices=\.\.\.\): a leaf has 2; write True, "):
        make(0.1, matrices=2).init(jnp.ones((2, 2)))
    tx = make(0.1, matrices=ao.MatrixView(stacked=1, outputs=2))
    with pytest.raises(ValueError, match=r"^MatrixView\(stacked=1, outputs=2\) reads 3 axes of "):
        tx.update(jnp.ones((2, 2)), tx.init(jnp.ones((2, 2))), jnp.ones((2, 2)))
    with pytest.raises(ValueError, match=r"^MatrixView\(outputs=0\): outputs must "):
        ao.MatrixView(outputs=0)


# Newton and Schulz --------------------------------------------------------------------------------


def spectrum(x):
    return np.linalg.svd(np.asarray(x), compute_uv=False)


@jax.jit
def orthogonalized(stack, eps=1e-7):
    return orthogonalized_by(stack, 5, QUINTIC, eps)


def made_of(shape, values, seed=0):
    """A matrix with these singular values."""
    draw = np.random.default_rng(seed)
    left, right = (np.linalg.qr(draw.standard_normal((n, n)))[0] for n in shape)
    k = len(values)
    return jnp.asarray(left[:, :k] * values @ right[:, :k].T, jnp.float32)


@pytest.mark.parametrize("shape", [(8, 8), (8, 24), (24, 8)], ids=["square", "wide", "tall"])
@pytest.mark.parametrize("scale", [1e-3, 1e6])
def test_five_steps_bring_singular_values_near_one(shape, scale):
    """Those of at least a fiftieth of the norm; the vectors stay, and the transpose is one."""
    values = scale * np.geomspace(0.05, 1.0, 8)
    x = made_of(shape, values)
    found = orthogonalized(x[None])[0]
    assert 0.68 < spectrum(found).min() < spectrum(found).max() < 1.14
    product = np.asarray(found.T @ x)  # symmetric and positive, as X' X with other values
    np.testing.assert_allclose(product, product.T, atol=1e-3 * scale)
    np.testing.assert_allclose(orthogonalized(x.T[None])[0].T, found, atol=1e-4)


@pytest.mark.parametrize("shape", [(4, 4), (2, 6), (6, 2), (1, 5)], ids=str)
@pytest.mark.parametrize("eps", [0.0, 1e-7])
def test_a_matrix_of_rank_one_keeps_its_rank_and_zeros_stay_zero(shape, eps):
    x = made_of(shape, [3.0])
    found, zeros = orthogonalized(jnp.stack([x, 0 * x]), eps)
    largest, *others = spectrum(found)
    assert 0.68 < largest < 1.14
    assert all(value < 1e-3 for value in others)
    np.testing.assert_array_equal(zeros, 0.0)


def test_a_stack_is_orthogonalized_one_by_one():
    stack = jnp.stack([made_of((4, 3), [1.0, 0.5, 0.1], seed) * 10.0**seed for seed in range(3)])
    found = orthogonalized(stack)
    for one, x in zip(found, stack, strict=True):
        np.testing.assert_allclose(one, orthogonalized(x[None])[0], atol=1e-5)


# Blocks and bases ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [None, 2, 3, 100])
@pytest.mark.parametrize(("view", "shape", "matrix"), VIEWS)
def test_blocks_are_equal_and_come_together_again(view, shape, matrix, size):
    blocks = blocks_of(view, shape, size)
    x = jnp.arange(float(np.prod(shape))).reshape(shape)
    cut = blocks.cut(x)
    assert cut.shape == (np.prod(blocks.numbers), *blocks.size)
    assert all(side <= (size or side) for side in blocks.size)
    np.testing.assert_array_equal(blocks.join(cut), x)
    assert blocks.numbers[0] == matrix[0]


BASES = [  # options, shapes of left and right of a leaf (6, 4)
    ({}, (1, 6, 6), (1, 4, 4)),
    ({"max_size": 4}, None, (1, 4, 4)),
    ({"max_size": 3}, None, None),
    ({"block_size": 3}, (4, 3, 3), (4, 3, 3)),
    ({"block_size": 4}, (2, 4, 4), (2, 4, 4)),
    ({"block_size": 2, "max_size": 1}, None, None),
]


@pytest.mark.parametrize(("options", "left", "right"), BASES)
def test_which_sides_have_a_basis(options, left, right):
    slots = ao.scale_by_soap(**options).init(jnp.ones((6, 4))).slots
    for one, other, shape in (
        (slots.left, slots.left_basis, left),
        (slots.right, slots.right_basis, right),
    ):
        assert (None if one is None else one.shape) == shape
        assert (None if other is None else other.shape) == shape


def test_bases_are_orthogonal_and_spare_rows_keep_to_themselves():
    """Blocks of 4 for 6 rows leave 2 spare rows, whose axes must not mix with true ones."""
    tx = ao.scale_by_soap(block_size=4, every=2)
    params = jnp.zeros((6, 4))
    _, state, _ = run(tx, params, [grads_of(params, seed) for seed in range(6)])
    for basis in (state.slots.left_basis, state.slots.right_basis):
        eye = np.broadcast_to(np.eye(4), basis.shape)
        np.testing.assert_allclose(basis.mT @ basis, eye, atol=1e-5)
    spare = np.asarray(blocks_of(ao.MatrixView(), (6, 4), 4).spare(0))
    assert spare.sum() in (0, 2)
    for number in range(2):
        rows = np.asarray(state.slots.left_basis[number])[spare[number] > 0]
        kept = np.abs(rows) > 1e-5
        assert np.all(kept.sum(0)[: 4 - int(spare[number].sum())] == 0)


def test_batched_runs_compute_their_bases_only_when_due():
    """A batched switch would compute eigh and qr at every step, and they can block each other."""
    tx, params = ao.soap(0.1), jnp.ones((3, 4, 2))
    state = jax.vmap(tx.init)(params)
    program = jax.jit(jax.vmap(tx.update)).lower(params, state, params).as_text()
    assert program.count("stablehlo.case") == 2  # one a side; a batched one would be a select


@pytest.mark.parametrize("scale", ["spectral", "rms", "none"])
def test_muon_leaves_a_matrix_without_rows_alone(scale):
    params = {"empty": jnp.zeros((0, 3)), "matrix": jnp.ones((2, 3))}
    tx = ao.muon(0.1, scale=scale)
    updates, _ = tx.update(params, tx.init(params), params)
    assert updates["empty"].shape == (0, 3)
    assert bool(jnp.all(updates["matrix"] < 0))
