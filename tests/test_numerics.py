"""What float32 must not lose: digits by cancellation, range by squares, slopes at zero.

The checks take the library, so that the mutation gate can give them another.
"""

import decimal
from decimal import Decimal
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from test_known_answers import steps, walk

import adaptive_optax as ao


def nearly_constant() -> np.ndarray:
    """Gradients of 0.5 to 2 with a relative noise of 1e-4, float32, shape (200, 1024)."""
    draw = np.random.default_rng(0)
    noise = 1 + 1e-4 * draw.standard_normal((200, 1024))
    return (draw.uniform(0.5, 2, 1024) * noise).astype(np.float32)


def check_centered(library: Any) -> None:
    """The centered second moment is E[g^2] - E[g]^2 where float32's subtraction is noise.

    The deviations from the mean are 1e-4 of numbers that float32 rounds by 6e-8, so that their
    squares keep a part in 1e3. Measured: 3e-3.
    """
    gradients = nearly_constant()
    tx = library.scale_by_rmsprop(centered=True)

    def step(state, g):
        direction, state = tx.update(g, state)
        return state, (state.slots.nu, direction)

    nu, direction = jax.jit(lambda g: jax.lax.scan(step, tx.init(g[0]), g)[1])(gradients)
    assert bool(jnp.isfinite(direction).all())
    assert float(nu.min()) >= 0
    squares, mean = averages(gradients.astype(np.float64))
    np.testing.assert_allclose(nu[100:], (squares - mean**2)[100:], rtol=1e-2)


def averages(gradients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """E[g^2] and E[g] with decay 0.9, in the dtype of the gradients."""
    keep, take = gradients.dtype.type(0.9), gradients.dtype.type(0.1)
    squares, mean = np.zeros_like(gradients), np.zeros_like(gradients)
    for t, g in enumerate(gradients):
        squares[t] = keep * squares[t - 1] + take * g * g
        mean[t] = keep * mean[t - 1] + take * g
    return squares, mean


def test_centered_rmsprop_is_never_nan():
    check_centered(ao)


def test_the_plain_subtraction_is_negative_and_so_nan():
    """The control of the test above: E[g^2] - E[g]^2 in float32 as it is usually written."""
    squares, mean = averages(nearly_constant())
    assert np.mean((squares - mean**2)[100:].min(0) < 0) > 0.1  # of the coordinates, a third


def exact_rectifier(b2: float, t: int) -> float:
    """RAdam's r_t by the paper's formula with 60 digits; 1 where rho_t is not above 4."""
    with decimal.localcontext(prec=60):
        last = 2 / (1 - Decimal(b2)) - 1
        power = Decimal(b2) ** t
        rho = last - 2 * t * power / (1 - power)
        if rho <= 4:
            return 1.0
        ratio = (rho - 4) * (rho - 2) * last / ((last - 4) * (last - 2) * rho)
        return float(ratio.sqrt())


def check_rectifier(library: Any) -> None:
    """RAdam's factor in float32, for long memories and late steps.

    The state is that after t - 1 gradients of 1, so that the direction is r_t alone. Measured: off
    by 3e-7, a few roundings of 6e-8. The paper's formula in float32 is off by up to 14 times.
    """
    t = np.unique(np.concatenate([np.arange(1, 40), np.geomspace(40, 1e5, 80).astype(int)]))
    for b2 in (0.9, 0.99, 0.999, 0.9999, 0.99999):
        tx = library.scale_by_radam(b2=b2, eps=0.0)

        def direction(count, mu, nu, tx=tx):
            state = tx.init(jnp.float32(0.0))
            slots = state.slots._replace(mu=mu, nu=nu)
            return tx.update(jnp.float32(1.0), state._replace(count=count, slots=slots))[0]

        moments = (jnp.asarray(-np.expm1((t - 1) * np.log(b)), jnp.float32) for b in (0.9, b2))
        found = jax.jit(jax.vmap(direction))(jnp.asarray(t - 1, jnp.int32), *moments)
        expected = [exact_rectifier(b2, int(step)) for step in t]
        np.testing.assert_allclose(found, expected, rtol=1e-6, err_msg=f"b2={b2}")


def test_radams_rectifier_in_float32():
    check_rectifier(ao)


def check_first_step(library: Any) -> None:
    """Adam's first step is the rate, in float32 and for a long memory, whatever the gradient.

    1 - b2 has 5 digits left at b2 = 0.99999 where it is subtracted in float32; with 1e20 the
    square overflows unless the weight comes first.
    """
    rows = [("adam", {"b2": b2, "eps": 0.0}) for b2 in (0.999, 0.9999, 0.99999, 0.999999)]
    gradients = np.array([[3.0, -1e-15, 1e15, 1e19]])
    for found in steps(library, rows, gradients, "float32"):
        np.testing.assert_allclose(found, np.sign(gradients), rtol=5e-7)
    (found,) = steps(library, rows[:1], np.array([[1e20]]), "float32")
    np.testing.assert_allclose(found, 1.0, rtol=5e-7)


def test_the_first_step_of_adam_is_the_rate():
    check_first_step(ao)


FORGETFUL = [
    ("rmsprop", {}),
    ("rmsprop", {"momentum": 0.5}),
    ("adam", {"b2": 0.9}),
    ("adamw", {"b2": 0.9, "weight_decay": 0.0}),
    ("nadam", {"b1": 0.9, "b2": 0.9}),
    ("radam", {"b2": 0.9}),
]


def check_recovery(library: Any) -> None:
    """After one gradient of 1e20, rules that forget step again as if it had not been.

    The second moment is then at most the largest number, 3.4e38, and 0.9^1200 of that is 4e-17.
    """
    plain = np.where(np.arange(1200) % 2, 3.0, 1.0)
    gradients = np.stack([plain, plain, plain], 1)
    gradients[5, 1:] = 1e20, -1e25
    for row, found in zip(FORGETFUL, steps(library, FORGETFUL, gradients, "float32"), strict=True):
        assert np.isfinite(found).all(), row
        late = found[-2:]
        np.testing.assert_allclose(late[:, 1:], late[:, :1] * [1, 1], rtol=1e-5, err_msg=f"{row}")


def test_one_overflowing_gradient_is_forgotten():
    check_recovery(ao)


def check_norms(library: Any) -> None:
    """A leaf's norm is right where its squares overflow or vanish in float32, and 0 at 0."""
    params, shape = jnp.asarray([3.0, -4.0], jnp.float32), jnp.asarray([0.6, 0.8], jnp.float32)
    tx = library.lars(1.0, trust_coefficient=0.1, momentum=0.0)
    for size in (1e-30, 1e-20, 1.0, 1e20, 1e30):
        updates, _ = tx.update(jnp.float32(size) * shape, tx.init(params), params)
        np.testing.assert_allclose(updates, -0.5 * shape, rtol=1e-6, err_msg=f"{size}")
    updates, _ = tx.update(shape, tx.init(0 * params), 0 * params)
    np.testing.assert_array_equal(updates, -shape)


def test_norms_of_any_size():
    check_norms(ao)


HYPERPARAMETERS = {
    "sgd": {"momentum": 0.9},
    "adagrad": {"eps": 1e-3, "initial_accumulator_value": 0.1},
    "rmsprop": {"decay": 0.9, "eps": 1e-3, "momentum": 0.9},
    "adadelta": {"rho": 0.9, "eps": 1e-3},
    "adam": {"b1": 0.9, "b2": 0.99, "eps": 1e-3, "eps_root": 0.0},
    "adamw": {"b1": 0.9, "b2": 0.99, "eps": 1e-3, "weight_decay": 0.1},
    "nadam": {"b1": 0.9, "b2": 0.99, "eps": 1e-3},
    "radam": {"b1": 0.9, "b2": 0.99, "eps": 1e-3},
    "lion": {"b1": 0.9, "b2": 0.99, "weight_decay": 0.1},
}


def check_slopes(library: Any, names: Any = tuple(HYPERPARAMETERS)) -> None:
    """Where all gradients are 0, nothing but decay moves, whatever the hyperparameters."""

    def moved(options):
        total = 0.0
        for name in names:
            tx = getattr(library, name)(0.1, **options[name])
            total += jnp.sum(walk(tx, lambda p, _: 0.0 * p, jnp.ones(2), jnp.arange(7))[-1])
        return total

    options = {name: jax.tree.map(jnp.float32, HYPERPARAMETERS[name]) for name in names}
    slopes = jax.jit(jax.grad(moved))(options)
    for name in names:
        for key, slope in slopes[name].items():
            # 2 coordinates of (1 - 0.1 * 0.1)^7, differentiated by the decay.
            expected = -2 * 7 * 0.1 * 0.99**6 if key == "weight_decay" else 0.0
            np.testing.assert_allclose(slope, expected, rtol=1e-5, err_msg=f"{name} {key}")


def test_slopes_in_hyperparameters_where_gradients_are_zero():
    check_slopes(ao)
