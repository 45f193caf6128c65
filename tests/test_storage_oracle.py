"""The codes of `stored` against an oracle: between which two numbers each goes, and how often."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import storage as oracle

import adaptive_optax as ao

DRAWS = 400  # of each number
SIDE = 128
COARSE = 3e-5  # a code stands for a number whose bits are rounded to 2^-23 of its step


def gradients():
    """Numbers of every size, each `DRAWS` times or so, shape (SIDE, SIDE)."""
    each = np.random.default_rng(0).standard_normal(32) * 10.0 ** np.linspace(-6, 2, 32)
    return np.tile(each, SIDE * SIDE // 32).reshape(SIDE, SIDE).astype(np.float32)


def moments(library, make, grads, steps):
    """First and second moments as kept after some steps, and as they were before they were kept."""
    tx = library.stored(optax.scale_by_adam(b1=0.5, b2=0.75), make(library))
    plain = optax.scale_by_adam(b1=0.5, b2=0.75)
    state = tx.init(jnp.zeros_like(grads))
    for _ in range(steps):
        before = state.decoded()
        updates, state = tx.update(grads, state)
        expected, whole = plain.update(grads, before)
        np.testing.assert_allclose(updates, expected, rtol=1e-5)  # of what was not yet rounded
        assert int(state.count) == int(whole.count)
    kept = state.decoded()
    return (np.asarray(x, np.float64) for x in (kept.mu, kept.nu, whole.mu, whole.nu))


def check_grid(found, x, grid, unit=1.0):
    """Each of `found` is next to its x in grid * unit, and their mean is x."""
    lower, upper = np.transpose([oracle.neighbours(each, grid) for each in abs(x) / unit])
    ratio = abs(found) / unit
    gap = np.minimum(abs(ratio - lower), abs(ratio - upper))
    assert np.all(gap <= COARSE * (upper + 16 * grid[1])), "not next to it"
    assert np.all((found == 0) | (np.sign(found) == np.sign(x))), "another sign"
    share = (ratio - lower) / np.where(upper > lower, upper - lower, 1)
    true = (abs(x) / unit - lower) / np.where(upper > lower, upper - lower, 1)
    spread = np.sqrt(np.maximum(true * (1 - true), 0))
    assert abs((share - true).sum()) <= 5 * np.sqrt((spread**2).sum()) + 1, "the mean is another"


def check_pair(library):
    """minifloat8: both moments, the first by the root of the second."""
    mu, nu, mean, squares = moments(library, lambda x: x.minifloat8(), gradients(), 3)
    inside = squares > 2.0**-50
    check_grid(nu[inside], squares[inside], oracle.PAIR_SQUARES)
    roots = np.sqrt((nu[inside] + 2.0**-53) * (1 + COARSE))
    powers = np.array([oracle.power_below(root) for root in roots])
    check_grid(mu[inside], mean[inside], oracle.PAIR_MEAN, powers)


def check_ends(library):
    """minifloat8: below its range a second moment is rounded up, above it the first shrinks too."""
    tx = library.stored(optax.scale_by_adam(), library.minifloat8())
    state = tx.init(jnp.zeros((SIDE, SIDE)))
    for size in (2.0**-56, 2.0**-54, 3e6, 1e12, 1e30):
        squares = jnp.full((SIDE, SIDE), size)
        mean = jnp.sqrt(squares) * 1.5
        plain = optax.ScaleByAdamState(jnp.int32(1), mean, squares)
        for told in (state.encoded(plain), kept_by_chance(tx, state, plain)):
            back = told.decoded()
            if size < 1:
                assert float(back.nu.min()) >= size
                assert float(back.nu.max()) <= size + 2.0**-53 / 7
            else:
                np.testing.assert_allclose(back.nu, 2.0**20, rtol=COARSE)
                ratio = np.asarray(back.mu) / np.sqrt(np.asarray(back.nu))
                assert np.all((ratio > 0.7) & (ratio < 1.51))  # a power of two stands for the root
    zero = optax.ScaleByAdamState(jnp.int32(1), *jnp.zeros((2, SIDE, SIDE)))
    assert not np.any(state.encoded(zero).decoded().nu)


def kept_by_chance(tx, state, plain):
    """A state kept by an update that hardly changes it."""
    _, new = tx.update(plain.mu, state.encoded(plain))
    return new.encoded(plain)


def check_still(library):
    """minifloat8: what nothing changes stays, however often it is rounded by chance."""
    state = library.stored(optax.scale_by_adam(), library.minifloat8()).init(gradients())
    grads = gradients()
    mean = optax.ScaleByAdamState(jnp.int32(1), grads / 2, grads**2)
    first = state.encoded(mean).decoded()
    tx = library.stored(optax.scale_by_adam(b1=1.0, b2=1.0), library.minifloat8())
    state = state.encoded(mean)
    for _ in range(30):
        _, state = tx.update(grads, state)
    last = state.decoded()
    # Steps are not whole by some of 2^23: at most 18 and 63 x 3, at each of 30 rounds.
    assert np.mean(last.nu != first.nu) < 3e-4
    assert np.mean(last.mu != first.mu) < 1e-3


def check_blocks(library, kind, grids):
    """int8 and int4: both moments, each by the power of two of its block."""
    found = moments(library, lambda x: getattr(x, kind)(32), gradients(), 2)
    kept_mu, kept_nu, mean, squares = found
    for kept, x, role in ((kept_mu, mean, "signed"), (kept_nu, squares, "non_negative")):
        grid = grids[role]
        powers = np.array([oracle.block_power(block, grid[-1]) for block in x.reshape(-1, 32)])
        unit = np.repeat(powers, 32).reshape(x.shape)
        if role == "non_negative":  # up where steps are even
            low = x / unit < oracle.EVEN_BELOW[kind]
            upper = np.array([oracle.neighbours(each, grid)[1] for each in (x / unit)[low]])
            np.testing.assert_allclose(kept[low] / unit[low], upper, rtol=COARSE)
            x, kept, unit = x[~low], kept[~low], unit[~low]
        check_grid(kept.ravel(), x.ravel(), grid, unit.ravel())


def check_int8(library):
    """int8, of Adam and of a mean that stands alone."""
    check_blocks(library, "int8", oracle.INT8)
    grads, tx = gradients(), library.stored(optax.ema(0.5, debias=False), library.int8())
    _, state = tx.update(grads, tx.init(jnp.zeros_like(grads)))
    found, x = np.asarray(state.decoded().ema, np.float64), 0.5 * np.asarray(grads, np.float64)
    powers = np.repeat([oracle.block_power(block, 2.0) for block in x.reshape(-1, 32)], 32)
    check_grid(found.ravel(), x.ravel(), oracle.INT8["lone"], powers)


def check_int4(library):
    """int4."""
    check_blocks(library, "int4", oracle.INT4)


def check_bfloat16(library):
    """bfloat16: 8 bits of a number, up or down by chance."""
    mu, nu, mean, squares = moments(library, lambda x: x.bfloat16(), gradients(), 2)
    for found, x in ((mu, mean), (nu, squares)):
        step = (
            np.array([oracle.power_below(abs(each)) for each in x.ravel()]).reshape(x.shape) / 128
        )
        lower = np.floor(abs(x) / step) * step
        assert np.all((abs(found) == lower) | (abs(found) == lower + step))
        true, share = (abs(x) - lower) / step, (abs(found) - lower) / step
        spread = np.sqrt(np.sum(true * (1 - true)))
        assert abs((share - true).sum()) <= 5 * spread + 1


def check_chance(library):
    """Bits differ by element, by step and by leaf, and are even."""
    tx = library.stored(optax.scale_by_rms(0.5), library.bfloat16())
    params = {"a": jnp.full((SIDE, SIDE), 1.0), "b": jnp.full((SIDE, SIDE), 1.0)}
    state = tx.init(params)
    seen = []
    for _ in range(4):
        grads = jax.tree.map(lambda p: p * 1.00271, params)
        _, state = tx.update(grads, state)
        again = state.decoded().nu
        seen += [np.asarray(again["a"]), np.asarray(again["b"])]
        state = state.encoded(tx.init(params).decoded())  # from zero, with the count as it is
    ups = np.array([each > each.mean() for each in seen])
    assert np.all(abs(ups.mean((1, 2)) - ups.mean()) < 0.03)
    share = ups.mean()
    alike = share**2 + (1 - share) ** 2
    pairs = {(2, 4): abs(2 * share - 1), (3, 5): abs(2 * share - 1)}  # steps 2 and 3, each leaf
    for i, a in enumerate(ups):
        for j, b in enumerate(ups[i + 1 :], i + 1):
            assert abs(np.mean(a == b) - pairs.get((i, j), alike)) < 0.03
    assert np.all((ups.mean(1) > 0) & (ups.mean(1) < 1) & (ups.mean(2) > 0) & (ups.mean(2) < 1))
    along = np.mean(ups[:, :, 1:] == ups[:, :, :-1])
    across = np.mean(ups[:, 1:] == ups[:, :-1])
    np.testing.assert_allclose([along, across], alike, atol=0.03)


def check_kept(library):
    """What is compressed: large leaves of known slots, in their roles."""
    params = {"w": jnp.zeros((SIDE, SIDE)), "small": jnp.zeros((SIDE, SIDE - 1))}
    state = library.stored(optax.amsgrad(0.1), library.int8()).init(params)
    kept = optax.tree.get(state, "mu")
    assert kept["w"].dtype == jnp.uint8
    assert kept["small"].dtype == jnp.float32
    assert optax.tree.get(state, "nu_max")["w"].dtype == jnp.float32
    text = bytes(np.asarray(state.layout)).decode()
    assert text.splitlines()[0] == "stored/1"
    assert [line.split()[0] for line in text.splitlines()[3:]] == ["signed", "squares"]


CHECKS = {
    "stored pair": check_pair,
    "stored ends": check_ends,
    "stored still": check_still,
    "stored int8": check_int8,
    "stored int4": check_int4,
    "stored bfloat16": check_bfloat16,
    "stored chance": check_chance,
    "stored kept": check_kept,
}


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_storage(check):
    check(ao)
