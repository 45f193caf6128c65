"""Contract 1, fixed point: one type of state for ever, one answer however it is run."""

import itertools

import jax

from adaptive_optax.testing.evidence import BrokenError, close, during, same_form
from adaptive_optax.testing.subject import Subject
from adaptive_optax.testing.trees import FLOATS, filled, grads_of, params_of, run, stacked

# Between eager, jit and scan only the rounding of fused operations differs.
ROUNDING = 1e-4


def fixed_point(subject: Subject) -> None:
    """Compares forms over nine pairs of dtypes, and counts the traces of a loop under jit."""
    for of_params, of_grads in itertools.product(FLOATS, FLOATS):
        with during(f"{of_params} parameters, {of_grads} gradients"):
            params = params_of(of_params)
            grads = grads_of(params, dtype=of_grads)
            state = subject.tx.init(params)
            after = jax.eval_shape(subject.step, grads, state, params)[1]
            same_form(state, after, "state")
    params = params_of()
    before = subject.traces
    run(subject.tx, params, [grads_of(params, seed) for seed in range(3)], subject.step)
    if subject.traces > before + 1:
        raise BrokenError(f"three updates under jit took {subject.traces - before} traces")


def eager_jit_scan(subject: Subject) -> None:
    """Four updates four ways; eagerly twice, so that state hidden outside is found.

    They start from zero, where a rule that measures how far it went loses no digits.
    """
    tx, params = subject.tx, filled(params_of(), 0.0)
    gradients = [grads_of(params, seed) for seed in range(4)]
    _, state, eager = run(tx, params, gradients)
    again = run(tx, params, gradients[:2])[2]
    close(again, eager[:2], "update", ("when run again", "the first time"))
    with during("under jit"):
        _, jitted_state, jitted = run(tx, params, gradients, subject.step)
        close(jitted, eager, "update", ("under jit", "eagerly"), ROUNDING)
        close(jitted_state, state, "state", ("under jit", "eagerly"), ROUNDING)

    def step(carry, grads):
        params, state = carry
        updates, state = tx.update(grads, state, params)
        return (jax.tree.map(lambda p, u: p + u, params, updates), state), updates

    with during("in scan"):
        start = (params, tx.init(params))
        (_, last), history = jax.jit(lambda c, g: jax.lax.scan(step, c, g))(
            start, stacked(*gradients)
        )
        same_form(last, start[1], "state")
        close(history, stacked(*eager), "update", ("in scan", "eagerly"), ROUNDING)
    with during("in cond"):
        jax.eval_shape(
            lambda c: jax.lax.cond(True, lambda c: step(c, c[0])[0], lambda c: c, c), start
        )
