"""Switch: who is active when, and that nothing jumps where one member follows another."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from catalogue import every

import adaptive_optax as ao

INNERS = {
    "optax.adam": lambda: optax.adam(0.01),
    "optax.lion": lambda: optax.lion(0.01),
    "optax.momentum": lambda: optax.sgd(0.01, momentum=0.9),
    "ao.adamw": lambda: ao.adamw(0.01),
    "ao.rmsprop": lambda: ao.rmsprop(0.01),
}
CURVES = jnp.logspace(0, 1.5, 20)


def trained(tx, steps, *, noise=0.3, slope=True, seed=0):
    """What a noisy quadratic, or noise alone, makes of it: state, members active, step lengths."""

    def step(carry, key):
        params, state = carry
        grads = noise * jax.random.normal(key, params.shape) + slope * CURVES * params
        loss = slope * jnp.sum(CURVES * params**2) / 2
        loss = loss + 0.3 * jax.random.normal(jax.random.fold_in(key, 1))
        updates, state = tx.update(grads, state, params, value=loss)
        seen = state.active, jnp.linalg.norm(updates)
        return (optax.apply_updates(params, updates), state), seen

    params = jnp.ones(20)
    keys = jax.random.split(jax.random.key(seed), steps)
    carry, (active, lengths) = jax.jit(lambda start: jax.lax.scan(step, start, keys))(
        (params, tx.init(params))
    )
    return carry, active, np.asarray(lengths)


def changes(active):
    """The number of updates before each change, and the member that takes over."""
    names = list(active)
    number = np.stack([np.asarray(active[name]) for name in names]).argmax(0)
    return [(int(i) + 2, names[number[i + 1]]) for i in np.nonzero(np.diff(number))[0]]


@pytest.mark.parametrize("jit", [True, False], ids=["jit", "eager"])
@pytest.mark.parametrize("inner", INNERS)
def test_one_member_is_itself_bit_for_bit(inner, jit):
    tx, params = INNERS[inner](), {"a": jnp.ones((3, 2)), "b": jnp.arange(4.0)}
    one = ao.switch({"only": tx})
    updates = [jax.jit(each.update) if jit else each.update for each in (tx, one)]
    states = [tx.init(params), one.init(params)]
    for seed in range(5):
        grads = jax.tree.map(lambda p, s=seed: jnp.sin(p + s), params)
        alone, states[0] = updates[0](grads, states[0], params)
        inside, states[1] = updates[1](grads, states[1], params)
        jax.tree.map(np.testing.assert_array_equal, alone, inside)


def check(library):
    """Who makes which step, where each begins, and how long a plateau is borne."""
    slow = library.lookahead(library.sgd(1.0), every=2, step_size=0.5)
    members = {"a": library.sgd(1.0), "b": library.sgd(2.0), "slow": slow}
    assert path_of(library.switch(members, at=[2, 3]), 7) == [1, 2, 4, 5, 5, 6, 6]
    momentum = library.sgd(0.1, momentum=0.9)
    heir = path_of(library.switch({"a": library.sgd(1.0, momentum=0.5), "b": momentum}, at=[9]), 10)
    assert heir[9] - heir[8] == pytest.approx(0.1 * (0.9 * 10 + 1), abs=0.02)  # as if for long
    pair = {"a": library.sgd(1.0), "b": library.sgd(2.0)}
    stalled = library.switch(pair, when="plateau", window=5, patience=1)
    assert path_of(stalled, 12, value=3.0)[8:] == [9, 10, 12, 14]
    swats = library.switch({"a": library.sgd(1e-3), "b": library.sgd(2.0)}, when="swats")
    falls = np.diff(np.log(path_of(swats, 150, slope=1.0)))
    np.testing.assert_allclose(falls, np.log(1 - 1e-3), rtol=1e-2)  # before the switch and after


def path_of(tx, steps, value=None, slope=None):
    """Parameters after each step, under a gradient of -1 or of a bowl."""
    params = jnp.zeros(1) if slope is None else jnp.ones(1)
    state, path, update = tx.init(params), [], jax.jit(tx.update)
    for _ in range(steps):
        grads = -jnp.ones(1) if slope is None else slope * params
        updates, state = update(grads, state, params, value=value)
        params = params + updates
        path.append(float(params[0]))
    return path


def test_each_member_has_its_steps():
    check(ao)


def test_steps_without_jit():
    tx = ao.switch({"a": ao.sgd(1.0), "b": ao.sgd(2.0), "c": ao.sgd(3.0)}, at=[2, 3])
    params = jnp.zeros(1)
    state, steps = tx.init(params), []
    for _ in range(5):
        updates, state = tx.update(-jnp.ones(1), state, params)
        steps.append(float(updates[0]))
    assert steps == [1.0, 1.0, 2.0, 3.0, 3.0]


@pytest.mark.parametrize("when", ["plateau", "swats", "bandit"])
def test_strict_settings(when):
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        path_of(two(when=when, window=4), 20, value=jnp.float32(1.0))


def test_only_the_active_member_is_run():
    ran = []

    def noting(name):
        def update(grads, state, params=None):
            jax.debug.callback(lambda: ran.append(name))
            return grads, state

        return optax.GradientTransformation(lambda params: optax.EmptyState(), update)

    tx = ao.switch({"a": noting("a"), "b": noting("b")}, at=[2])
    params = jnp.zeros(1)
    state, update = tx.init(params), jax.jit(tx.update)
    for _ in range(4):
        _, state = update(params, state, params)
    jax.effects_barrier()
    assert sorted(ran) == ["a", "a", "b", "b"]


def test_the_next_member_begins_where_the_parameters_are():
    """What it remembers of parameters, such as slow weights, is of the moment it takes over."""
    slow = ao.lookahead(ao.sgd(1.0), every=2, step_size=0.5)
    tx = ao.switch({"first": ao.sgd(1.0), "slow": slow}, at=[10])
    params = jnp.zeros(1)
    state, path = tx.init(params), []
    for _ in range(14):
        updates, state = tx.update(-jnp.ones(1), state, params)
        params = params + updates
        path.append(float(params[0]))
    assert path[9:] == [10.0, 11.0, 11.0, 12.0, 12.0]
    assert float(ao.eval_params(state, params)[0]) == 12.0


def test_a_set_rate_is_kept():
    tx = ao.switch({"a": ao.adam(0.1), "b": ao.sgd(0.1)}, at=[1])
    params = jnp.ones(2)
    state = ao.set_learning_rate(tx.init(params), {"b": 0.5})
    for _ in range(2):
        updates, state = tx.update(jnp.ones(2), state, params)
    assert updates.tolist() == [-0.5, -0.5]
    assert float(ao.learning_rate_of(state)["b"]) == 0.5


def test_its_rate_is_the_active_members():
    tx = ao.monitored(ao.switch({"a": ao.adam(0.1), "b": optax.sgd(0.3)}, at=[1]))
    params = jnp.ones(3)
    state, seen = tx.init(params), []
    for _ in range(2):
        _, state = tx.update(params, state, params)
        found = ao.metrics(state)
        seen.append((round(float(found["learning_rate"]), 4), bool(found["active/b"])))
    assert seen == [(0.1, True), (0.3, True)]


@pytest.mark.parametrize("seed", range(3))
def test_plateau_waits_for_the_loss_to_stand(seed):
    tx = ao.switch({"a": optax.sgd(1e-3), "b": optax.sgd(1e-4)}, when="plateau", patience=1)
    _, active, _ = trained(tx, 4000, seed=seed)
    ((when, name),) = changes(active)
    assert name == "b"
    assert 300 <= when <= 4000  # the slowest direction has a time of 1,000 steps


def test_plateau_counts_windows():
    """A loss that stands: patience + 1 windows; one that falls: never."""
    tx = ao.switch({"a": ao.sgd(1.0), "b": ao.sgd(1.0)}, when="plateau", window=5, patience=1)
    params = jnp.zeros(1)
    for fall, wanted in ((0.0, 10), (0.1, None)):
        state, update, found = tx.init(params), jax.jit(tx.update), None
        for step in range(30):
            _, state = update(params, state, params, value=3.0 - fall * step)
            if found is None and state.active["b"]:
                found = step + 1
        assert found == wanted


@pytest.mark.parametrize("second", [optax.sgd(0.5), ao.sgd(0.5)], ids=["optax", "ao"])
def test_swats_finds_the_rate_of_gradient_descent(second):
    """p = -c g gives c: the second member then makes the first one's steps."""
    tx = ao.switch({"first": optax.sgd(0.037), "second": second}, when="swats")
    (_, state), active, _ = trained(tx, 200)
    ((when, name),) = changes(active)
    assert name == "second"
    assert when < 150
    assert float(state.memory.rate) == pytest.approx(0.037, rel=1e-5)
    assert float(state.inner_states["second"].scale) * 0.5 == pytest.approx(0.037, rel=1e-5)


def test_swats_allows_for_momentum():
    tx = ao.switch({"first": ao.sgd(0.02), "second": ao.sgd(1.0, momentum=0.9)}, when="swats")
    (_, state), _, lengths = trained(tx, 300)
    assert float(ao.learning_rate_of(state)["second"]) == pytest.approx(0.002, rel=1e-4)
    assert lengths[-100:].mean() < 2 * lengths[50:80].mean()


def test_swats_does_not_depend_on_scale():
    """Rates a million times smaller, of a loss a million times larger: the same step."""
    when = []
    for scale in (1.0, 1e6):
        chain = optax.chain(optax.scale(scale), optax.scale_by_adam(eps=0.0), optax.scale(-1e-2))
        tx = ao.switch({"adam": chain, "sgd": optax.sgd(1.0)}, when="swats")
        when.append(changes(trained(tx, 1500)[1]))
    assert when[0] == when[1] != []


@pytest.mark.parametrize("when", ["plateau", "swats", "bandit"])
@pytest.mark.parametrize("seed", every(3, [*range(3)]))
def test_noise_alone_makes_no_chatter(when, seed):
    tx = ao.switch({"adam": optax.adam(0.01), "sgd": optax.sgd(0.01)}, when=when)
    found = changes(trained(tx, 2000, slope=False, seed=seed)[1])
    assert len(found) <= (4 if when == "bandit" else 1)  # two trials, there and back


@pytest.mark.parametrize("good_first", [True, False])
def test_bandit_finds_the_better_member(good_first):
    good, bad = optax.sgd(3e-3), optax.sgd(1e-5)
    members = {"a": good if good_first else bad, "b": bad if good_first else good}
    (_, state), _, _ = trained(ao.switch(members, when="bandit", window=25), 400)
    assert bool(state.active["a" if good_first else "b"])


@pytest.mark.parametrize("at", [[100]])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (ao.adam(0.01), ao.sgd(0.001, momentum=0.9)),
        (optax.adam(0.01), optax.adam(0.01)),
        (optax.sgd(0.001, momentum=0.9), optax.lion(0.01)),
        (optax.adam(0.01), ao.adamw(0.01)),
    ],
)
def test_steps_do_not_jump_at_the_switch(first, second, at):
    """The first steps of the second member are no longer than its later ones."""
    tx = ao.switch({"first": first, "second": second}, at=at)
    lengths = trained(tx, 200)[2]
    assert lengths[100:105].max() < 3 * np.median(lengths[100:110])


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: two(), ValueError, r"switch\(at=None, when=None\): give either at"),
        (lambda: two(at=[3], when="swats"), ValueError, r"give either at, a list of steps, or"),
        (lambda: two(at=[3, 4]), ValueError, r"at must be 1 rising steps of at least 1"),
        (lambda: two(at=[0]), ValueError, r"at=\[0\]\): at must be 1 rising"),
        (lambda: two(at=3), TypeError, r"at must be a list of steps"),
        (lambda: two(at=[2.5]), TypeError, r"at must be a list of steps"),
        (lambda: two(at=[True]), TypeError, r"at=\[True\]\): at must be a list of steps"),
        (
            lambda: two(when="plateau", patience=1.5),
            ValueError,
            r"patience=1.5\): patience must be",
        ),
        (lambda: two(when="plato"), ValueError, r"when must be one of .* did you mean 'plateau'"),
        (lambda: two(when="bandit", window=2), ValueError, r"window must be at least 4"),
        (lambda: two(when="plateau", patience=-1), ValueError, r"patience"),
        (lambda: two(when="swats", tolerance=0), ValueError, r"tolerance must be finite and above"),
        (
            lambda: ao.switch({"a": ao.sgd(1.0), "b": ao.adam(1.0)}, when="swats"),
            ValueError,
            r"the rate that it finds is SGD's, .* for adam",
        ),
        (
            lambda: ao.switch({n: ao.sgd(1.0) for n in "abc"}, when="swats"),
            ValueError,
            r"3 were given",
        ),
        (lambda: ao.switch({}, at=[]), ValueError, r"give at least one member"),
        (lambda: updated(two(at=[3]), None), ValueError, r"switch.update needs params"),
        (lambda: updated(two(when="bandit"), 1.0), ValueError, r"switch.update needs value="),
    ],
)
def test_errors_say_what_to_do(build, error, message):
    with pytest.raises(error, match=message):
        build()


def two(**options):
    return ao.switch({"a": ao.sgd(1.0), "b": ao.sgd(1.0)}, **options)


def updated(tx, params):
    params = None if params is None else jnp.ones(1)
    return tx.update(jnp.ones(1), tx.init(jnp.ones(1)), params)
