"""What the mathematics says of Muon and SOAP."""

import numpy as np
import pytest

from .adam import adam, adamw
from .fields import descend, noise, rotation
from .tree_rules import TREE_ORACLES

muon = TREE_ORACLES["muon"]
soap = TREE_ORACLES["soap"]

QUINTIC = (3.4445, -4.7750, 2.0315)
MUON = {"momentum": 0.95, "nesterov": True, "steps": 5, "coefficients": QUINTIC, "eps": 1e-7}
SPECTRAL = {**MUON, "scale": "spectral"}
SOAP = {"b1": 0.95, "b2": 0.95, "eps": 1e-8, "every": 10}
ADAM = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}


def polynomial(s, steps=5):
    """What the iteration makes of a singular value."""
    a, b, c = QUINTIC
    for _ in range(steps):
        s = a * s + b * s**3 + c * s**5
    return s


# Muon ---------------------------------------------------------------------------------------------


def test_five_steps_bring_singular_values_from_0_02_to_1_between_0_6818_and_1_1344():
    """The bounds are the polynomial's local minimum and what it makes of that minimum.

    Down to 0.002 its local maximum, 1.2024, is the upper bound; at 0.001 there is 0.47.
    """
    turns = np.roots([5 * QUINTIC[2], 0, 3 * QUINTIC[1], 0, QUINTIC[0]])
    top, bottom = polynomial(np.sort(turns.real)[2:], steps=1)
    np.testing.assert_allclose([top, bottom], [1.2023686, 0.6818315], rtol=1e-7)
    found = polynomial(np.linspace(0.02, 1, 200_001))
    bounds = [bottom, polynomial(bottom, steps=1)]
    np.testing.assert_allclose(bounds, [0.6818315, 1.1343573], rtol=1e-7)
    np.testing.assert_allclose([found.min(), found.max()], bounds, rtol=1e-6)
    found = polynomial(np.linspace(0.002, 1, 200_001))
    np.testing.assert_allclose([found.min(), found.max()], [bottom, top], rtol=1e-6)
    np.testing.assert_allclose(polynomial(0.001), 0.4705440, rtol=1e-6)


@pytest.mark.parametrize("shape", [(6, 6), (3, 8), (8, 3), (2, 4, 3)])
def test_singular_values_of_muons_steps(shape):
    """Between 0.6818 and 1.1344 times the scale, where none was below 0.02 of the norm."""
    rows, columns = int(np.prod(shape[:-1])), shape[-1]
    u, _, vh = np.linalg.svd(noise(20, rows, columns), full_matrices=False)
    gradients = ((u * np.geomspace(50, 1.5, u.shape[-1])) @ vh).reshape(-1, *shape)
    scales = {"spectral": max(1, columns / rows) ** 0.5, "rms": 0.2 * max(rows, columns) ** 0.5}
    for scale, factor in {**scales, "none": 1.0}.items():
        path = muon(gradients, np.zeros(shape), 1.0, **{**MUON, "momentum": 0.0}, scale=scale)
        for step in np.diff(path, axis=0, prepend=0 * path[:1]):
            values = np.linalg.svd(step.reshape(rows, columns), compute_uv=False) / factor
            assert 0.6818 < values.min() < values.max() < 1.1344


def test_muons_first_step_for_a_diagonal_matrix():
    """Momentum and Nesterov scale the first gradient alone; the norm takes that away."""
    s = np.array([3.0, 1.0, 0.2])
    for nesterov in (True, False):
        for correction in (True, False):
            how = {**SPECTRAL, "nesterov": nesterov, "bias_correction": correction, "eps": 0.0}
            (found,) = muon(np.diag(s)[None], np.zeros((3, 3)), 0.1, **how)
            expected = np.diag(-0.1 * polynomial(s / np.sqrt(np.sum(s**2))))
            np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-17)


def test_muons_steps_keep_singular_vectors():
    gradient = noise(4, 6)
    u, s, vh = np.linalg.svd(gradient, full_matrices=False)
    (found,) = muon(gradient[None], np.zeros((4, 6)), 1.0, **{**MUON, "eps": 0.0}, scale="none")
    expected = -(u * polynomial(s / np.sqrt(np.sum(s**2)))) @ vh
    np.testing.assert_allclose(found, expected, atol=1e-14)


def test_newtons_cubic_makes_muons_step_orthogonal():
    """X <- 1.5 X - 0.5 X X' X converges to the polar factor from everywhere below sqrt(3)."""
    gradient = noise(5, 3)
    u, _, vh = np.linalg.svd(gradient, full_matrices=False)
    how = {**MUON, "coefficients": (1.5, -0.5, 0.0), "steps": 40}
    (found,) = muon(gradient[None], np.zeros((5, 3)), 1.0, **how, scale="none")
    np.testing.assert_allclose(found, -u @ vh, atol=1e-14)


@pytest.mark.parametrize("nesterov", [True, False])
def test_muon_turns_with_its_gradients(nesterov):
    u, v = rotation(4, 1), rotation(6, 2)
    gradients, start = noise(30, 4, 6), noise(4, 6, seed=3)
    how = {**SPECTRAL, "nesterov": nesterov, "weight_decay": 0.1}
    turned = muon(u @ gradients @ v.T, u @ start @ v.T, 0.1, **how)
    np.testing.assert_allclose(turned, u @ muon(gradients, start, 0.1, **how) @ v.T, atol=1e-13)


def test_muon_of_the_transpose_is_the_transpose_but_for_the_scale():
    gradients = noise(30, 4, 6)
    path = muon(gradients, np.zeros((4, 6)), 0.1, **MUON, scale="none")
    turned = muon(gradients.swapaxes(1, 2), np.zeros((6, 4)), 0.1, **MUON, scale="none")
    np.testing.assert_allclose(turned.swapaxes(1, 2), path, atol=1e-15)


def test_muon_ignores_the_scale_once_eps_follows_it():
    gradients = noise(30, 4, 6)
    paths = [
        muon(c * gradients, np.zeros((4, 6)), 0.1, **{**SPECTRAL, "eps": c * 1e-2})
        for c in (1.0, 1024.0)
    ]
    np.testing.assert_allclose(*paths, rtol=1e-12)


def test_bias_correction_turns_muons_steps_only_while_the_gradient_turns():
    how = {**SPECTRAL, "eps": 0.0}
    for gradients, differ in ((np.stack([noise(4, 6)] * 9), False), (noise(9, 4, 6), True)):
        plain = muon(gradients, np.zeros((4, 6)), 0.1, **how)
        corrected = muon(gradients, np.zeros((4, 6)), 0.1, **how, bias_correction=True)
        assert (np.abs(corrected - plain).max() > 1e-3) == differ
        np.testing.assert_allclose(corrected[0], plain[0], atol=1e-15)


def test_muon_of_vectors_is_adamw():
    for shape in ((5,), ()):
        gradients = noise(30, *shape)
        found = muon(gradients, np.ones(shape), 0.1, **SPECTRAL, weight_decay=0.2)
        expected = adamw(gradients, np.ones(shape), 0.1, **ADAM, weight_decay=0.2)
        np.testing.assert_array_equal(found, expected)


# SOAP ---------------------------------------------------------------------------------------------


def late_adam(gradients, start, rate, **arguments):
    """Adam with eps beside the raw root, which takes no notice of the first gradient."""
    how = {key: arguments[key] for key in ("b1", "b2", "eps")}
    path = adam(gradients[1:], start, rate, **how, eps_placement="uncorrected")
    return np.concatenate([[start], path])


def test_soap_does_not_move_at_first():
    for shape in ((4, 3), (3,), ()):
        path = soap(noise(3, *shape), np.ones(shape), 0.1, **SOAP, weight_decay=0.5)
        np.testing.assert_array_equal(path[0], np.ones(shape))
        assert np.all(path[1] != path[0])


@pytest.mark.parametrize(("shape", "how"), [((5,), {}), ((), {}), ((4, 3), {"max_size": 2})])
def test_soap_without_bases_is_adam_from_the_second_step_on(shape, how):
    gradients = noise(30, *shape)
    found = soap(gradients, np.ones(shape), 0.1, **SOAP, **how)
    expected = late_adam(gradients, np.ones(shape), 0.1, **SOAP)
    np.testing.assert_allclose(found, expected, atol=1e-14)


@pytest.mark.parametrize("every", [1, 3, 100])
def test_soap_of_diagonal_gradients_is_adam_on_the_diagonal(every):
    """Among them multiples of the identity, where every basis is an eigenbasis."""
    how = {**SOAP, "every": every, "eps": 1e-2}  # a small eps would blow up what is 0 elsewhere
    for diagonals in (noise(30, 4), np.tile(noise(30, 1), 4)):
        gradients = diagonals[:, :, None] * np.eye(4)
        found = soap(gradients, np.zeros((4, 4)), 0.1, **how)
        expected = late_adam(diagonals, np.zeros(4), 0.1, **how)[:, :, None] * np.eye(4)
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("shape", [(4, 4), (4, 3), (3, 4)])
@pytest.mark.parametrize("every", [1, 4])
def test_soap_turns_with_its_gradients(shape, every):
    """Permutations and changes of sign are among the rotations: the choice of both is free."""
    gradients, start = noise(30, *shape), noise(*shape, seed=3)
    how = {**SOAP, "every": every, "eps": 1e-3, "weight_decay": 0.1, "shampoo_decay": 0.8}
    path = soap(gradients, start, 0.1, **how)
    signs = np.diag([1.0, -1.0, -1.0, 1.0])[:, [2, 0, 3, 1]]
    for u, v in ((rotation(4, 1), rotation(4, 2)), (signs, signs.T)):
        u, v = (np.linalg.qr(q[:n, :n])[0] for q, n in zip((u, v), shape, strict=True))
        turned = soap(u @ gradients @ v.T, u @ start @ v.T, 0.1, **how)
        np.testing.assert_allclose(turned, u @ path @ v.T, atol=1e-10)


def test_soap_with_one_basis_turns_on_that_side():
    gradients, v = noise(30, 5, 4), rotation(4, 2)
    how = {**SOAP, "every": 4, "eps": 1e-3, "max_size": 4}
    path, turned = (soap(g, np.zeros((5, 4)), 0.1, **how) for g in (gradients, gradients @ v.T))
    np.testing.assert_allclose(turned, path @ v.T, atol=1e-12)
    u = rotation(5, 1)
    assert np.abs(soap(u @ gradients, np.zeros((5, 4)), 0.1, **how) - u @ path).max() > 1e-2


def test_soap_on_a_quadratic_is_adam_in_the_basis_that_it_keeps():
    """The basis of the first gradient, that of its singular vectors."""
    left, right = (
        q @ np.diag([0.5, 1.0, 1.5, 2.0]) @ q.T for q in (rotation(4, 1), rotation(4, 2))
    )
    start, how = noise(4, 4, seed=3), {**SOAP, "eps": 0.1}
    u, _, vh = np.linalg.svd(left @ start @ right)

    def in_the_basis(p):
        return u.T @ (left @ (u @ p @ vh) @ right) @ vh.T

    path, gradients = descend(late_adam_anew, in_the_basis, u.T @ start @ vh.T, 40, 0.1, **how)
    assert np.abs(gradients[-1] - np.diag(np.diag(gradients[-1]))).max() > 0.05
    how["every"] = 1000
    found, _ = descend(soap, lambda p: left @ p @ right, start, 40, 0.1, **how)
    assert np.abs(found[-1] - start).max() > 1
    np.testing.assert_allclose(found, u @ path @ vh, atol=1e-11)


def late_adam_anew(gradients, start, rate, **arguments):
    if len(gradients) == 1:
        return start[None]
    return late_adam(gradients, start, rate, **arguments)


def test_soap_under_a_constant_gradient_moves_by_its_orthogonal_factor():
    gradient = rotation(4, 1) @ np.diag([4.0, 3.0, 2.0, 1.0]) @ rotation(4, 2)
    path = soap(np.stack([gradient] * 30), np.zeros((4, 4)), 0.1, **{**SOAP, "eps": 1e-6})
    steps = np.diff(path, axis=0)
    np.testing.assert_allclose(steps + 0.1 * rotation(4, 1) @ rotation(4, 2), 0, atol=1e-6)


def test_soap_by_hand():
    """A leaf (2, 1) with b1 = 0, all other decays 1/2, a refresh at each step, and hardly an eps.

    From (1, 0) come L = diag(1, 0) / 2 and the axes for a basis; (1, 1) moves by its signs, and
    makes L = ((3, 2), (2, 2)) / 4: its first column leads the new basis, in which (0, 1) is seen.
    """
    gradients = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])[:, :, None]
    how = {"b1": 0.0, "b2": 0.5, "eps": 1e-30, "every": 1}
    path = soap(gradients, np.zeros((2, 1)), 1.0, **how)[:, :, 0]
    basis = np.array([[3.0, -2.0], [2.0, 3.0]]) / np.sqrt(13)
    v = 1 / 4 + np.array([4.0, 9.0]) / 13 / 2
    last = basis @ (np.sqrt(3 / 4) * np.array([2.0, 3.0]) / np.sqrt(13) / np.sqrt(v))
    np.testing.assert_allclose(path, [[0, 0], [-1, -1], -1 - last], atol=1e-14)


def test_soap_refreshes_its_bases_after_each_so_many_moves():
    gradients, how = noise(12, 4, 3), {**SOAP, "b1": 0.9}
    kept, found, given = (
        soap(gradients, np.zeros((4, 3)), 0.1, **{**how, **other})
        for other in ({"every": 100}, {"every": 4}, {"every": 4, "shampoo_decay": 0.95})
    )
    np.testing.assert_array_equal(found[:5], kept[:5])  # four moves after the first step
    assert np.abs(found[5] - kept[5]).max() > 1e-3
    np.testing.assert_array_equal(given, found)  # b2


def test_soap_by_blocks_is_soap_of_the_blocks():
    gradients, start = noise(30, 5, 4), noise(5, 4, seed=3)
    how = {**SOAP, "every": 4}
    found = soap(gradients, start, 0.1, **how, block_size=3)
    for rows in (slice(0, 3), slice(3, 5)):
        for columns in (slice(0, 3), slice(3, 4)):
            block = soap(gradients[:, rows, columns], start[rows, columns], 0.1, **how)
            np.testing.assert_array_equal(found[:, rows, columns], block)
    whole = soap(gradients, start, 0.1, **how)
    np.testing.assert_array_equal(soap(gradients, start, 0.1, **how, block_size=5), whole)


def test_soap_of_more_axes_is_soap_of_the_matrix():
    gradients = noise(30, 2, 2, 4)
    found = soap(gradients, np.zeros((2, 2, 4)), 0.1, **SOAP)
    expected = soap(gradients.reshape(-1, 4, 4), np.zeros((4, 4)), 0.1, **SOAP)
    np.testing.assert_array_equal(found.reshape(-1, 4, 4), expected)
