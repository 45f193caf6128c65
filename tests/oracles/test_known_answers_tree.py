"""What the mathematics says of the rules that look at a matrix, a leaf or the whole tree."""

import numpy as np
import pytest

from .adam import adam, adamw
from .sgd import sgd
from .tree_rules import TREE_ORACLES

muon, soap = TREE_ORACLES["muon"], TREE_ORACLES["soap"]
prodigy, dadapt_adam = TREE_ORACLES["prodigy"], TREE_ORACLES["dadapt_adam"]
dog, dowg = TREE_ORACLES["dog"], TREE_ORACLES["dowg"]

QUINTIC = (3.4445, -4.7750, 2.0315)
MUON = {"momentum": 0.95, "nesterov": True, "steps": 5, "coefficients": QUINTIC, "eps": 1e-7}
SPECTRAL = {**MUON, "scale": "spectral"}
SOAP = {"b1": 0.95, "b2": 0.95, "eps": 1e-8, "every": 10}
PRODIGY = {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "d0": 1e-6}
DOG = {"initial_distance": 1e-6, "eps": 1e-8}
DOWG = {"initial_distance": 1e-2, "eps": 1e-4}
AVERAGE = {"b1": 0.9, "weight_power": 2.0}  # of Schedule-Free
ADAM = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def rotation(size, seed):
    return np.linalg.qr(noise(size, size, seed=seed))[0]


def polynomial(s, steps=5):
    """What the iteration makes of a singular value."""
    a, b, c = QUINTIC
    for _ in range(steps):
        s = a * s + b * s**3 + c * s**5
    return s


def descend(oracle, gradient, start, count, rate, **arguments):
    """The path of a rule in a field of gradients, replayed for every step, and the gradients."""
    gradients, path = [], [start]
    for _ in range(count):
        gradients.append(gradient(path[-1]))
        found = oracle(np.array(gradients), start, rate, **arguments)
        path.append((found[0] if isinstance(found, tuple) else found)[-1])
    return np.array(path[1:]), np.array(gradients)


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


# Rules that estimate the distance -----------------------------------------------------------------


def estimate(oracle, gradients, start, **arguments):
    """Prodigy's or D-Adaptation's d after the gradients: a kick makes the step a multiple of it.

    Beside a gradient of 1e30 neither average remembers another: the step is
    d (1 - b1) / sqrt(1 - b2), times the bias correction.
    """
    kicked = np.concatenate([gradients, np.full_like(gradients[:1], 1e30)])
    path = oracle(kicked, start, 1.0, **arguments)
    b1, b2 = arguments["b1"], arguments["b2"]
    unit = (1 - b1) / np.sqrt(1 - b2)
    if arguments.get("bias_correction"):
        unit *= np.sqrt(1 - b2 ** len(kicked)) / (1 - b1 ** len(kicked))
    return np.abs(path[-1] - path[-2]).max() / unit


def travelled(oracle, gradients, start, **arguments):
    """DoG's or DoWG's estimate: the farthest they have been from the start, or the first one."""
    path = oracle(gradients, start, 1.0, **arguments)
    path = path[0] if isinstance(path, tuple) else path
    return max(arguments["initial_distance"], np.abs(path - start).max())


CORRECTED = {**PRODIGY, "bias_correction": True}
FROM_1E_4 = {**DOWG, "initial_distance": 1e-4}
ESTIMATES = [  # (rule, arguments, what reads its estimate, steps, bounds of estimate / distance)
    (prodigy, PRODIGY, estimate, 40, 0.38, 0.84),
    (prodigy, CORRECTED, estimate, 60, 0.51, 0.71),
    (dadapt_adam, CORRECTED, estimate, 60, 1.62, 2.35),
    (dog, DOG, travelled, 160, 1.01, 1.17),
    (dowg, FROM_1E_4, travelled, 60, 1.34, 1.84),
]


@pytest.mark.parametrize("distance", 10.0 ** np.arange(-3, 4))
@pytest.mark.parametrize(("oracle", "arguments", "read", "steps", "least", "most"), ESTIMATES)
def test_estimates_are_within_a_factor_of_4_of_the_distance(
    oracle, arguments, read, steps, least, most, distance
):
    """On |x - distance|, from 0; no later step of 20 000 takes them out of these bounds."""
    start = np.zeros(1)
    _, gradients = descend(oracle, lambda p: np.sign(p - distance), start, steps, 1.0, **arguments)
    ratio = read(oracle, gradients, start, **arguments) / distance
    assert 1 / 4 < least < ratio < most < 4


def test_d_adaptation_without_bias_correction_overshoots():
    """By 3.3 to 4.9: the root of v is too small at first, as in Adam without its correction."""
    ratios = []
    for distance in 10.0 ** np.arange(-3, 4):
        field = {"gradient": lambda p, x=distance: np.sign(p - x), "start": np.zeros(1)}
        _, gradients = descend(dadapt_adam, count=40, rate=1.0, **field, **PRODIGY)
        ratios.append(estimate(dadapt_adam, gradients, np.zeros(1), **PRODIGY) / distance)
    np.testing.assert_allclose(ratios, [3.30, 4.13, 4.69, 4.90, 4.76, 4.34, 3.75], atol=0.006)


def test_a_first_estimate_above_the_distance_stays():
    """DoWG's default is 1e-2; below a quarter of it no factor of 4 can hold."""
    start = np.zeros(1)
    _, gradients = descend(dowg, lambda p: np.sign(p - 1e-3), start, 40, 1.0, **DOWG)
    assert travelled(dowg, gradients, start, **DOWG) == 1e-2


def test_second_estimates_by_hand():
    """Under the constant gradient 1, for d0 = 1 and hardly an eps; r is 0 at the first step."""
    how = {**PRODIGY, "d0": 1.0, "eps": 1e-30}
    ones, start, c = np.ones((2, 1)), np.zeros(1), np.sqrt(0.999)
    first = 0.1 / np.sqrt(0.001)
    for oracle, second in ((prodigy, first / (1 + c)), (dadapt_adam, 1 / np.sqrt(0.001) / (1 + c))):
        np.testing.assert_allclose(oracle(ones, start, 1.0, **how)[0], -first, rtol=1e-13)
        np.testing.assert_allclose(estimate(oracle, ones[:1], start, **how), 1.0, rtol=1e-12)
        np.testing.assert_allclose(estimate(oracle, ones, start, **how), second, rtol=1e-12)


def test_prodigy_that_does_not_adapt_is_adam():
    gradients, rate = noise(40, 3), 0.1 / np.arange(1, 41)
    how = {**CORRECTED, "d0": 0.5, "d_coef": 0.0, "eps": 1e-2}
    found = prodigy(gradients, np.ones(3), rate, **how)
    raw = {**ADAM, "eps": 1e-2, "eps_placement": "uncorrected"}
    expected = adam(gradients, np.ones(3), 0.5 * rate, **raw)
    np.testing.assert_allclose(found, expected, atol=1e-13)


def test_d_adaptation_that_does_not_adapt_is_prodigy_that_does_not():
    gradients, how = noise(40, 3), {**PRODIGY, "eps": 1e-2, "weight_decay": 0.2}
    found = dadapt_adam(gradients, np.ones(3), 5e-7, **{**how, "d0": 1e6})  # above all estimates
    expected = prodigy(gradients, np.ones(3), 1.0, **{**how, "d0": 0.5, "d_coef": 0.0})
    np.testing.assert_allclose(found, expected, atol=1e-13)


def test_zero_gradients_leave_the_decay():
    """At the first d; nothing is divided by 0, though s is 0."""
    rate = 0.1 / np.arange(1, 41)
    for oracle in (prodigy, dadapt_adam):
        path = oracle(np.zeros((40, 2)), np.ones(2), rate, **PRODIGY, weight_decay=2e5)
        np.testing.assert_allclose(path[:, 0], np.cumprod(1 - 0.2 * rate), rtol=1e-12)


@pytest.mark.parametrize("safeguard", [True, False])
def test_safeguard_keeps_the_rate_out_of_the_denominator(safeguard):
    """The second estimate under the gradient 1 is that by hand at rate 1, but for powers of it.

    The numerator has the rate twice, once for the way gone; the denominator once, or not at all.
    """
    how = {**PRODIGY, "d0": 1.0, "eps": 1e-30, "safeguard_warmup": safeguard, "d_coef": 1e6}
    kicked, rate = np.array([[1.0], [1.0], [1e30]]), np.array([0.01, 0.01, 1.0])
    path = prodigy(kicked, np.zeros(1), rate, **how)
    unit = 0.1 / np.sqrt(0.001)
    expected = 1e6 * 0.01 ** (2 if safeguard else 1) * unit / (1 + np.sqrt(0.999))
    np.testing.assert_allclose((path[1] - path[2]) / unit, expected, rtol=1e-11)


def test_estimates_ignore_where_the_start_is():
    gradients = noise(40, 3)
    for oracle in (prodigy, dadapt_adam):
        how = {**PRODIGY, "d0": 1e-2}
        paths = [oracle(gradients, np.full(3, at), 1.0, **how) - at for at in (0.0, 8.0)]
        np.testing.assert_allclose(*paths, atol=1e-13)


SCALES = [  # (rule, arguments, powers of the gradients' and of the distances' scale in eps)
    (prodigy, {**PRODIGY, "eps": 1e-2, "d0": 1e-2}, 1, 0, "d0"),
    (prodigy, {**CORRECTED, "eps": 1e-2, "d0": 1e-2}, 1, 0, "d0"),
    (dadapt_adam, {**PRODIGY, "eps": 1e-2, "d0": 1e-2}, 1, 0, "d0"),
    (dog, {"initial_distance": 1e-2, "eps": 1e-2}, 2, 0, "initial_distance"),
    (dowg, {"initial_distance": 1e-2, "eps": 1e-2}, 1, 1, "initial_distance"),
]


@pytest.mark.parametrize(("oracle", "arguments", "power", "length", "first"), SCALES)
def test_parameter_free_rules_follow_the_units(oracle, arguments, power, length, first):
    """Gradients in other units change nothing, parameters in other units the path alone."""
    gradients, c = noise(40, 3), 1024.0
    path = np.array(oracle(gradients, np.zeros(3), 1.0, **arguments))
    other = {**arguments, "eps": c**power * arguments["eps"]}
    found = np.array(oracle(c * gradients, np.zeros(3), 1.0, **other))
    np.testing.assert_allclose(found, path, rtol=1e-11)
    other = {**arguments, "eps": c**length * arguments["eps"], first: c * arguments[first]}
    found = np.array(oracle(gradients, np.zeros(3), 1.0, **other))
    np.testing.assert_allclose(found, c * path, rtol=1e-11)


def test_first_steps_of_dog_and_dowg_are_as_long_as_their_first_distance():
    gradient, start = noise(1, 5), noise(5, seed=1)
    path, averages = dog(gradient, start, 1.0, initial_distance=0.1, eps=0.0)
    length = 0.1 * (1 + np.linalg.norm(start))
    np.testing.assert_allclose(np.linalg.norm(path[0] - start), length, rtol=1e-13)
    np.testing.assert_allclose(averages[0], path[0], rtol=1e-15)
    path = dowg(gradient, start, 1.0, initial_distance=0.1, eps=0.0)
    np.testing.assert_allclose(np.linalg.norm(path[0] - start), 0.1, rtol=1e-13)


def test_dog_and_dowg_under_a_constant_gradient():
    """DoG multiplies its distance by 1 + 1 / sqrt(t); DoWG by hand."""
    ones, start = -7 * np.ones((30, 1)), np.zeros(1)
    path, _ = dog(ones, start, 1.0, initial_distance=1.0, eps=0.0)
    expected = np.cumprod(np.append(1, 1 + np.arange(2, 31) ** -0.5))
    np.testing.assert_allclose(path[:, 0], expected, rtol=1e-13)
    path = dowg(ones[:3], start, 1.0, initial_distance=1.0, eps=0.0)
    second = 1 + 0.5**0.5
    third = second + second**2 / (2 + second**2) ** 0.5
    np.testing.assert_allclose(path[:, 0], [1, second, third], rtol=1e-13)


def test_dogs_average_of_the_numbers_1_to_t_is_9_t_plus_1_tenths():
    """The weight of step i is that of (i + 7 choose 8); the rates here make each step 1 long."""
    t = np.arange(1, 51)
    rate = np.sqrt(t) / np.maximum(1, t - 1)
    path, averages = dog(-np.ones((50, 1)), np.zeros(1), rate, initial_distance=1.0, eps=0.0)
    np.testing.assert_allclose(path[:, 0], t, rtol=1e-12)
    np.testing.assert_allclose(averages[:, 0], (9 * t + 1) / 10, rtol=1e-12)


def test_decay_of_dog_and_dowg_is_multiplied_by_their_step():
    for oracle, how in ((dog, DOG), (dowg, DOWG)):
        gradients, start = noise(1, 3), noise(3, seed=1)
        plain, decayed = (
            np.array(oracle(gradients, start, 1.0, **how, weight_decay=decay)).reshape(-1, 3)[0]
            for decay in (0.0, 0.5)
        )
        step = np.linalg.norm(plain - start) / np.linalg.norm(gradients)
        np.testing.assert_allclose(decayed, plain - step * 0.5 * start, rtol=1e-12)


# Schedule-Free ------------------------------------------------------------------------------------


@pytest.mark.parametrize("b1", [0.0, 0.5, 0.9, 1.0])
def test_schedule_free_at_a_constant_rate_averages_its_inner_rule(b1):
    """x is the mean of z, which is the inner rule's path: y at b1 = 0; y is x at b1 = 1."""
    gradients, start, how = noise(40, 3), noise(3, seed=1), {**AVERAGE, "b1": b1}
    inner = {"b2": 0.9, "eps": 1e-2}
    for y, x, z in (
        (
            *TREE_ORACLES["schedule_free_sgd"](gradients, start, 0.1, **how),
            sgd(gradients, start, 0.1),
        ),
        (
            *TREE_ORACLES["schedule_free_adam"](gradients, start, 0.1, **how, **inner),
            adam(gradients, start, 0.1, b1=0.0, **inner),
        ),
    ):
        mean = np.cumsum(z, 0) / np.arange(1, 41)[:, None]
        np.testing.assert_allclose(x, mean, atol=1e-13)
        np.testing.assert_allclose(y, (1 - b1) * z + b1 * x, atol=1e-15)


def test_schedule_free_weights_are_squares_of_the_largest_rate_at_the_count_of_z():
    """Also while the rate falls after a warm-up; nothing else passes for it."""
    gradients, count = noise(40, 3), np.arange(40)
    rate = 0.1 * np.minimum((count + 1) / 10, np.minimum(1, (60 - count) / 40))
    _, x = TREE_ORACLES["schedule_free_sgd"](gradients, np.ones(3), rate, **AVERAGE)

    def average(of_z, of_weight, power=2.0):
        z = sgd(gradients, np.ones(3), of_z)
        w = np.maximum.accumulate(of_weight)[:, None] ** power
        return np.cumsum(w * z, 0) / np.cumsum(w, 0)

    np.testing.assert_allclose(x, average(rate, rate), atol=1e-14)
    before = np.append(0.0, rate[:-1])  # z one count behind its weight, as in optax 0.2.8
    assert np.abs(x - average(before, rate)).max() > 1e-2
    assert np.abs(x - average(rate, np.append(rate[1:], rate[-1]))).max() > 1e-3
    assert np.abs(x - average(rate, rate, 1.0)).max() > 1e-3
    uniform = {**AVERAGE, "weight_power": 0.0}
    _, x = TREE_ORACLES["schedule_free_sgd"](gradients, np.ones(3), rate, **uniform)
    np.testing.assert_allclose(x, average(rate, rate, 0.0), atol=1e-14)


def test_schedule_free_from_a_rate_of_0_stays_until_it_rises():
    gradients, rate = noise(4, 3), np.array([0.0, 0.0, 0.1, 0.2])
    for path in TREE_ORACLES["schedule_free_sgd"](gradients, np.ones(3), rate, **AVERAGE):
        np.testing.assert_array_equal(path[:2], 1.0)
        np.testing.assert_allclose(path[2], 1 - 0.1 * gradients[2], rtol=1e-15)


def test_schedule_free_decays_z_by_y():
    """Zero gradients, rate 0.1, decay 1 from 1: z = .9, .81, .72495 and y = .9, .8505 by hand."""
    how = {**AVERAGE, "weight_decay": 1.0}
    y, x = TREE_ORACLES["schedule_free_sgd"](np.zeros(3), 1.0, 0.1, **how)
    np.testing.assert_allclose(x, [0.9, 0.855, (0.9 + 0.81 + 0.72495) / 3], rtol=1e-14)
    np.testing.assert_allclose(y[:2], [0.9, 0.8505], rtol=1e-14)


# Cautious -----------------------------------------------------------------------------------------

CAUTIOUS = [
    (TREE_ORACLES["cautious_sgd"], sgd, {"momentum": 0.9}),
    (TREE_ORACLES["cautious_sgd"], sgd, {"momentum": 0.9, "nesterov": True}),
    (TREE_ORACLES["cautious_adam"], adam, ADAM),
]


@pytest.mark.parametrize(("outer", "inner", "arguments"), CAUTIOUS)
def test_cautious_where_all_agree_is_its_inner_rule(outer, inner, arguments):
    gradients = np.abs(noise(40, 3)) * [1.0, -1.0, 1.0]
    found = outer(gradients, np.ones(3), 0.1, **arguments)
    np.testing.assert_allclose(found, inner(gradients, np.ones(3), 0.1, **arguments), rtol=1e-13)


@pytest.mark.parametrize(("outer", "inner", "arguments"), CAUTIOUS)
def test_cautious_stays_where_all_disagree_and_its_inner_rule_goes_on(outer, inner, arguments):
    gradients = np.concatenate([np.full((3, 2), 5.0), np.full((2, 2), -0.1), np.full((1, 2), 5.0)])
    found = outer(gradients, np.ones(2), 0.1, **arguments)
    expected = inner(gradients, np.ones(2), 0.1, **arguments)
    np.testing.assert_array_equal(found[3:5], found[[2, 2]])
    np.testing.assert_allclose(found[5] - found[4], expected[5] - expected[4], rtol=1e-12)


def test_cautious_scales_by_the_mean_of_the_mask_down_to_1e_3():
    """Of n coordinates one agrees: it moves n times as far, but at most 1000 times."""
    for count, factor in ((1, 1), (4, 4), (1000, 1000), (4000, 1000)):
        gradients = np.stack([np.full(count, 2.0), np.full(count, -0.5)])
        gradients[1, 0] = 0.5
        path = TREE_ORACLES["cautious_sgd"](gradients, np.zeros(count), 0.1, momentum=0.9)
        steps = path[1] - path[0]
        np.testing.assert_allclose(steps[0], -0.1 * factor * (0.9 * 2 + 0.5), rtol=1e-12)
        np.testing.assert_array_equal(steps[1:], 0)


def test_a_coordinate_without_gradient_counts_as_one_that_disagrees():
    for oracle, arguments in (("cautious_sgd", {}), ("cautious_adam", ADAM)):
        path = TREE_ORACLES[oracle](np.array([[1.0, 0.0]]), np.zeros(2), 0.1, **arguments)
        np.testing.assert_allclose(path, [[-0.2, 0.0]], rtol=1e-7)


def test_cautious_never_goes_uphill():
    gradients = noise(60, 5)
    for outer, inner, arguments in CAUTIOUS:
        for oracle, never in ((outer, True), (inner, False)):
            path = oracle(gradients, np.zeros(5), 0.1, **arguments)
            steps = np.diff(path, axis=0, prepend=np.zeros((1, 5)))
            assert (np.max(steps * gradients) <= 0) == never
