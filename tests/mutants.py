"""Wrong variants of the library, each a change of one line or two, and what must catch it.

`altered` loads the whole package afresh under another name with one file changed, so that a change
in `core` reaches every optimizer and nothing on disk or in the package itself is touched. The
checks are those that the true rules pass, on eight steps.
"""

import contextlib
import importlib
import importlib.abc
import importlib.util
import itertools
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import test_goldens
import test_known_answers as answers
import test_oracles

import adaptive_optax as ao

ROOT = Path(ao.__file__).parent
STEPS = 8


class Mutant(NamedTuple):
    """A change of one file, and the check that catches it."""

    fault: str
    file: str
    old: str  # occurs once in the file
    new: str
    check: str  # of CHECKS


class _Copy(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds and runs the package's modules under another name, with one file's text changed."""

    def __init__(self, name: str, file: str, old: str, new: str):
        self.name, self.file, self.old, self.new = name, ROOT / file, old, new

    def find_spec(self, fullname, path=None, target=None):
        if fullname.split(".")[0] != self.name:
            return None
        place = ROOT.joinpath(*fullname.split(".")[1:])
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        return importlib.util.spec_from_loader(
            fullname, self, origin=str(file), is_package=place.is_dir()
        )

    def exec_module(self, module):
        file = Path(module.__spec__.origin)
        text = file.read_text()
        if file == self.file:
            text = text.replace(self.old, self.new)
        text = re.sub(rf"\b{ao.__name__}\b", self.name, text)
        exec(compile(text, str(file), "exec"), module.__dict__)


_numbers = itertools.count()


@contextlib.contextmanager
def altered(file: str = "", old: str = "", new: str = "") -> Iterator[Any]:
    """The package, loaded afresh, with `old` as `new` in one file."""
    if file and (found := (ROOT / file).read_text().count(old)) != 1:
        raise LookupError(f"{old!r} occurs {found} times in {file}; bring the mutant up to date")
    copy = _Copy(f"altered_{next(_numbers)}", file, old, new)
    sys.meta_path.insert(0, copy)
    try:
        yield importlib.import_module(copy.name)
    finally:
        sys.meta_path.remove(copy)
        for name in [name for name in sys.modules if name.split(".")[0] == copy.name]:
            del sys.modules[name]


def _oracle(name: str) -> Callable[[Any], None]:
    """Eight steps of every row of options, with the large eps and the rate that changes."""
    cases = [
        case
        for case in test_oracles.GROUPS[name]
        if case.options.get("eps", 1e-2) == 1e-2
        and (case.options["learning_rate"] is test_oracles.WAVES or case.around)
        and (case.around or {}).get("every") != 5
    ]
    return partial(_each, test_oracles.check, cases)


def _golden(name: str) -> Callable[[Any], None]:
    """Eight steps of every golden of the name."""
    goldens = [golden for golden in test_goldens.GOLDENS if golden.name == name]
    return partial(_each, test_goldens.check, goldens)


def _each(check: Callable, rows: list, library: Any) -> None:
    """One by one, so that the first may catch, and not compiled, which takes longer than to run."""
    with jax.disable_jit():
        for row in rows:
            check(library, [row], steps=STEPS)


CHECKS: dict[str, Callable[[Any], None]] = {
    **{name: _oracle(name) for name in test_oracles.GROUPS},
    **{f"golden {name}": _golden(name) for name in ("adam", "adagrad", "nadam", "radam")},
    "centered": answers.check_centered,
    "first step": answers.check_first_step,
    "recovery": answers.check_recovery,
    "rectifier": answers.check_rectifier,
    "slopes": partial(answers.check_slopes, names=("adam",)),
}


def _read(table: str) -> list[Mutant]:
    """The mutants of a table such as the one below."""
    mutants = []
    for block in table.strip().split("\n\n"):
        if block.startswith("@ "):
            file, usual = block[2:].split(": ")
            continue
        first, *lines = block.splitlines()
        fault, _, check = first.removeprefix("* ").partition(": ")
        old, new = (
            "\n".join(line[2:] for line in lines if line.startswith(sign)) for sign in ("- ", "+ ")
        )
        mutants.append(Mutant(fault, file, old, new, check or usual))
    return mutants


# @ file: the check that catches its mutants
# * fault, or fault: a check of its own
# - old text, once in the file
# + new text
MUTANTS = _read("""
@ core/arrays.py: golden adam

* average with decay and weight swapped
- scaled(average, decay) + scaled(x, 1 - decay)
+ scaled(average, 1 - decay) + scaled(x, decay)

* average without the weight 1 - decay
- scaled(average, decay) + scaled(x, 1 - decay)
+ scaled(average, decay) + x

* squares with decay and weight swapped
- add_square(scaled(average, decay), x, 1 - decay)
+ add_square(scaled(average, 1 - decay), x, decay)

* squares without the weight 1 - decay
- add_square(scaled(average, decay), x, 1 - decay)
+ add_square(scaled(average, decay), x)

* square forgotten
- _product(scaled(x, weight), x)
+ scaled(jnp.abs(x), weight)

* mu without bias correction
- scaled(average, 1 / bias)
+ average

* mu times its bias
- 1 / bias)
+ bias)

* bias of one step later
- elapsed(count), log
+ elapsed(count) + 1, log

* bias b^t
- -jnp.expm1(scaled(elapsed
+ jnp.exp(scaled(elapsed

* bias of nu outside the root
- jax.lax.rsqrt(correction)
+ 1 / correction

* eps from outside to inside the root
- return root(_plus(nu, eps_root, correction)) * norm + _as(eps, nu)
+ return root(_plus(nu, eps_root + eps, correction)) * norm

* eps from outside to uncorrected
- return root(_plus(nu, eps_root, correction)) * norm + _as(eps, nu)
+ return (root(_plus(nu, eps_root, correction)) + _as(eps, nu)) * norm

* eps forgotten
- return root(_plus(nu, eps_root, correction)) * norm + _as(eps, nu)
+ return root(_plus(nu, eps_root, correction)) * norm

* eps_root forgotten
- return root(_plus(nu, eps_root, correction)) * norm + _as(eps, nu)
+ return root(nu) * norm + _as(eps, nu)

* eps from inside to outside the root: adam
- return root(_plus(nu, eps_root + eps, correction)) * norm
+ return root(_plus(nu, eps_root, correction)) * norm + _as(eps, nu)

* eps from uncorrected to outside
- return (root(_plus(nu, eps_root, correction)) + _as(eps, nu)) * norm
+ return root(_plus(nu, eps_root, correction)) * norm + _as(eps, nu)

* eps inside the root of the uncorrected nu
- nu + correction * _as(eps, nu)
+ nu + _as(eps, nu)

* second moment that overflows: recovery
- jnp.minimum(total + _product(scaled(x, weight), x), jnp.finfo(total.dtype).max)
+ total + _product(scaled(x, weight), x)

* weight after the square: first step
- _product(scaled(x, weight), x)
+ scaled(_product(x, x), weight)

* bias by a subtraction: first step
- -jnp.expm1(scaled(elapsed(count), log(decay)))
+ 1 - jnp.exp(scaled(elapsed(count), log(decay)))

* logarithm of the decay in float32: first step
- math.log(decay) if
+ jnp.log(jnp.float32(decay)) if

* root with an infinite slope: slopes
- jnp.sqrt(jnp.maximum(x, jnp.finfo(x.dtype).tiny))
+ jnp.sqrt(x)

@ core/leafwise.py: golden adam

* count of the step before
- shared = per_step(count)
+ shared = per_step(state.count)

* count that stands
- LeafwiseState(count, _trees
+ LeafwiseState(state.count, _trees

* slots that stand
- rows.append(slots)
+ rows.append(rule.slots(*(c[i] for c in columns)))

@ core/descend.py: adamw

* ascent: golden adam
- [(-rate, None)]
+ [(rate, None)]

* ascent beside decay
- [(-rate, share if
+ [(rate, share if

* rate of the next step
- _at(learning_rate, count)
+ _at(learning_rate, count + 1)

* decay of the next step
- _at(weight_decay, count)
+ _at(weight_decay, count + 1)

* no decay
- share if decayed else None
+ None

* growth
- -decay if independent_decay else -rate * decay
+ decay if independent_decay else rate * decay

* coupled decay for independent
- -decay if independent_decay else
+ -rate * decay if independent_decay else

* independent decay for coupled
- else -rate * decay
+ else -decay

* decay of the updated weights
- step + scaled(p, share)
+ step + scaled(p + step, share)

* decay of the step
- step + scaled(p, share)
+ step + scaled(step, share)

* decay without the rate of the direction
- step = scaled(d, rate)
+ step = -d

* decay in the gradient
- d, slots = rule.update(g, slots, p, shared)
-             return turned(d, p, rate, share), slots
+ d, slots = rule.update(g if share is None else g + 0.2 * p, slots, p, shared)
+             return turned(d, p, rate, None), slots

@ optimizers/sgd.py: sgd

* momentum without trace
- trace = scaled(slots.trace, momentum) + g
+ trace = g

* damped momentum
- scaled(slots.trace, momentum) + g
+ scaled(slots.trace, momentum) + (1 - momentum) * g

* momentum of the whole sum
- scaled(slots.trace, momentum) + g
+ scaled(slots.trace + g, momentum)

* Nesterov of the old trace
- g + scaled(trace, momentum) if
+ g + scaled(slots.trace, momentum) if

* Nesterov of the trace twice
- g + scaled(trace, momentum) if
+ trace + scaled(trace, momentum) if

* Nesterov kept in the trace
- else trace, SgdSlots(trace)
+ else trace, SgdSlots(g + momentum * trace if nesterov else trace)

* Nesterov where not asked
- if nesterov else trace, SgdSlots
+ if not nesterov else trace, SgdSlots

@ optimizers/adagrad.py: adagrad

* average for the sum
- add_square(slots.nu, g)
+ add_square(0.9 * slots.nu, g, 0.1)

* the sum before this gradient
- denominator(nu, eps, eps_placement)
+ denominator(slots.nu, eps, eps_placement)

* start of the sum forgotten
- real_slot(p, initial_accumulator_value)
+ real_slot(p)

* no root
- denominator(nu, eps, eps_placement)
+ nu + eps

@ optimizers/rmsprop.py: rmsprop

* the average before this gradient
- denominator(nu, eps, eps_placement)
+ denominator(slots.nu, eps, eps_placement)

* bias correction
- denominator(nu, eps, eps_placement)
+ denominator(nu, eps, eps_placement, 0.0, 1 - decay**count)

* centered about the new mean
- g - slots.mu, 1 - decay
+ g - ema(slots.mu, g, decay), 1 - decay

* centered moment not decayed
- nu, mu = scaled(spread, decay)
+ nu, mu = spread

* not centered
- g - slots.mu, 1 - decay
+ g, 1 - decay

* centered by subtraction: centered
- spread = add_square(slots.nu, g - slots.mu, 1 - decay)
-             nu, mu = scaled(spread, decay), ema(slots.mu, g, decay)
+ mu = ema(slots.mu, g, decay)
+             nu = ema_of_squares(slots.nu + slots.mu**2, g, decay) - mu**2

* momentum of the gradient
- scaled(slots.trace, momentum) + u
+ scaled(slots.trace, momentum) + g

* momentum without trace
- scaled(slots.trace, momentum) + u
+ u

* Nesterov of the old trace
- u + scaled(trace, momentum) if
+ u + scaled(slots.trace, momentum) if

@ optimizers/adadelta.py: adadelta

* the steps' average with this one
- denominator(slots.nu_step, eps, "inside")
+ denominator(ema_of_squares(slots.nu_step, g, rho), eps, "inside")

* the gradients' average before this one
- denominator(nu, eps, "inside")
+ denominator(slots.nu, eps, "inside")

* the steps' average of gradients
- ema_of_squares(slots.nu_step, d, rho)
+ ema_of_squares(slots.nu_step, g, rho)

* the steps' average times the rate
- ema_of_squares(slots.nu_step, d, rho)
+ ema_of_squares(slots.nu_step, 0.1 * d, rho)

* the steps' average never fed
- ema_of_squares(slots.nu_step, d, rho)
+ slots.nu_step

* eps outside the roots
- denominator(nu, eps, "inside")
+ denominator(nu, eps, "outside")

* no eps above
- denominator(slots.nu_step, eps, "inside")
+ denominator(slots.nu_step, 0.0, "inside")

@ optimizers/adam.py: golden adam

* nu without bias correction
- eps_root, biases[1])
+ eps_root)

* mu corrected as nu
- debias(mu, biases[0])
+ debias(mu, biases[1])

* nu corrected as mu
- eps_root, biases[1])
+ eps_root, biases[0])

* decays swapped
- ema(slots.mu, g, b1), ema_of_squares(slots.nu, g, b2)
+ ema(slots.mu, g, b2), ema_of_squares(slots.nu, g, b1)

* mu before this gradient
- debias(mu, biases[0])
+ debias(slots.mu, biases[0])

* no mean
- debias(mu, biases[0])
+ g

* nu of the mean
- ema_of_squares(slots.nu, g, b2)
+ ema_of_squares(slots.nu, slots.mu, b2)

* largest nu
- ema_of_squares(slots.nu, g, b2)
+ ema_of_squares(slots.nu, g, b2).clip(slots.nu)

* L2 penalty of the wrong sign
- g = g + scaled(p, l2)
+ g = g - scaled(p, l2)

* L2 penalty forgotten
- g = g + scaled(p, l2)
+ g = g + 0 * p

@ optimizers/nadam.py: nadam

* product of the schedule twice
- -jnp.expm1(scaled(t, log(b1)) - series)
+ -jnp.expm1(2 * (scaled(t, log(b1)) - series))

* speed of the schedule lost
- momentum_decay * math.log(0.96)
+ math.log(0.96)

* half of the schedule lost
- 1 - 0.5 * jnp.exp
+ 1 - jnp.exp

* series cut short
- _TERMS = 64
+ _TERMS = 8

* factor b2 lost
- b2 if correct_nu else 1.0
+ 1.0

* factor b2 where not asked: golden nadam
- b2 if correct_nu else 1.0
+ b2

* this step's momentum for the next
- of_mu=ahead
+ of_mu=now

* product to this step
- ahead / momentum_bias(t + 1)
+ ahead / momentum_bias(t)

* product to the next step
- (1 - now) / momentum_bias(t)
+ (1 - now) / momentum_bias(t + 1)

* next step's momentum of the gradient
- (1 - now)
+ (1 - ahead)

* schedule of one step earlier
- t = elapsed(count)
+ t = elapsed(count) - 1

* constant average
- now if scheduled_average else b1
+ b1

* scheduled average where not asked: golden nadam
- now if scheduled_average else b1
+ now

* mu before this gradient
- scaled(mu, at.of_mu)
+ scaled(slots.mu, at.of_mu)

* no look ahead
- + scaled(g, at.of_g)
+ + scaled(mu, at.of_g)

* no bias correction of nu
- eps_root, at.nu_bias)
+ eps_root)

@ optimizers/radam.py: radam

* threshold of the libraries
- rho > threshold
+ rho > 5.0

* threshold of the paper: golden radam
- rho > threshold
+ rho > 4.0

* no rectifier
- scaled(mu_hat, rectifier)
+ mu_hat

* rectifier without root
- jnp.sqrt(jnp.where(rho > 4, ratio, 1.0))
+ jnp.where(rho > 4, ratio, 1.0)

* rectifier upside down
- (rho - 4) * (rho - 2) * last / ((last - 4) * (last - 2) * rho)
+ (last - 4) * (last - 2) * rho / ((rho - 4) * (rho - 2) * last)

* rho of one step later
- _length(b2, elapsed(count))
+ _length(b2, elapsed(count) + 1)

* subtraction forgotten in the early rho
- - t * _langevin(jnp.minimum(t * x
+ + 0 * _langevin(jnp.minimum(t * x

* factor 2 lost in the late rho
- 2 * t / jnp.expm1
+ t / jnp.expm1

* rho_inf without - 1
- 1 + b2), 1 - b2)
+ 2.0), 1 - b2)

* skips where momentum was asked
- mu_hat if before_rectification == "momentum"
+ mu_hat if before_rectification == "skip"

* raw mean before rectification
- early = mu_hat if
+ early = mu if

* nu divided out before rectification
- early = mu_hat if
+ early = divided(mu_hat, root) if

* no bias correction of nu
- eps_root, nu_bias)
+ eps_root)

* rho by the paper's formula: rectifier
- jnp.where(t * x < 2, early, late)
+ late

@ optimizers/lion.py: lion

* decays swapped
- ema(slots.mu, g, b1)), LionSlots(mu=ema(slots.mu, g, b2))
+ ema(slots.mu, g, b2)), LionSlots(mu=ema(slots.mu, g, b1))

* momentum updated before the sign
- jnp.sign(ema(slots.mu, g, b1))
+ jnp.sign(ema(ema(slots.mu, g, b2), g, b1))

* no sign
- jnp.sign(ema(slots.mu, g, b1))
+ ema(slots.mu, g, b1)

* sign of the gradient
- jnp.sign(ema(slots.mu, g, b1))
+ jnp.sign(g)

* sign of the old momentum
- jnp.sign(ema(slots.mu, g, b1))
+ jnp.sign(slots.mu)

* interpolation kept as momentum
- LionSlots(mu=ema(slots.mu, g, b2))
+ LionSlots(mu=ema(slots.mu, g, b1))

@ wrappers/lookahead.py: lookahead

* slow weights from 0
- SyncSlots(anchor=p)
+ SyncSlots(anchor=0 * p)

* sync one step early
-         due = count % every == 0
+         due = (count + 1) % every == 0

* sync every k + 1 steps
-         due = count % every == 0
+         due = count % (every + 1) == 0

* step size inverted
- 1 - step_size)  #
+ step_size)  #

* slow weights not moved
- jnp.where(due, fast - back, slots.anchor)
+ slots.anchor

* slow weights moved at every step
- jnp.where(due, fast - back, slots.anchor)
+ fast - back

* slow weights become the fast
- jnp.where(due, fast - back, slots.anchor)
+ jnp.where(due, fast, slots.anchor)

* fast weights not moved back
- jnp.where(due, u - back, u)
+ u

* the last step left out
- fast = p + u
+ fast = p

* slow weights not shown
- else anchor.astype(p.dtype)
+ else p

* reset forgotten
- _choose(due, fresh, inner_state)
+ inner_state

* reset at every step
- _choose(due, fresh, inner_state)
+ fresh

* inner state synced one step late
- due = synced.count % every == 0
+ due = state.count % every == 0

* pullback inverted
- scaled(new - old, 1 - share)
+ scaled(new - old, share)

* pullback forgotten
- _choose(due, between, inner_state)
+ inner_state

* pullback to the start
- _choose(due, inner_state, inner_anchor)
+ state.inner_anchor

* pullback to the last step
- _choose(due, inner_state, inner_anchor)
+ inner_state

@ optimizers/presets.py: golden adagrad

* torch's AdaGrad starts from 0.1
- _ADAGRAD = {"eps": 1e-10, "initial_accumulator_value": 0.0
+ _ADAGRAD = {"eps": 1e-10, "initial_accumulator_value": 0.1

* Keras' Adam as torch's: golden adam
- _KERAS_ADAM = {**_MOMENTS, **_UNCORRECTED
+ _KERAS_ADAM = {**_MOMENTS, **_OUTSIDE

* Keras' Nadam with torch's schedule: golden nadam
- "eps": 1e-7, "momentum_decay": 1.0
+ "eps": 1e-7, "momentum_decay": 0.004

* torch's RAdam with the paper's eps: golden radam
- "radam": {**_RADAM, **_UNCORRECTED
+ "radam": {**_RADAM, **_OUTSIDE
""")
