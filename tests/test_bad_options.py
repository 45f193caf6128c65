"""Every option of every public function: nonsense is an error by message.

What each number must be is in `error_options.py` and `test_errors.py`. Here every argument of every
signature gets values of the wrong kind: the error says the function, the argument and the value.
"""

import numpy as np
import pytest
from nonsense import NONSENSE, SKIPPED, arguments, called, functions, is_nonsense, options

import adaptive_optax as ao


def test_every_public_function_is_here():
    """But for the skipped, each with its reason; and all work with what they are given here."""
    public = {name for name in dir(ao) if not name.startswith("_") and callable(getattr(ao, name))}
    assert public == {name for name in functions() if "." not in name} | SKIPPED.keys()
    for name, function in functions().items():
        if name != "save_checkpoint":  # would write
            function(**arguments(name))


@pytest.mark.parametrize(("name", "argument"), options())
def test_nonsense_is_an_error_by_message(name, argument):
    function, given = functions()[name], arguments(name)
    for label, value in NONSENSE.items():
        if not is_nonsense(name, argument, label):
            continue
        with pytest.raises((TypeError, ValueError)) as error:
            function(**{**given, argument: value})
        words = str(error.value)
        assert words.startswith(f"{called(name)}("), label
        said = [f"{argument}=", f"{argument}[0]="] if name != "preset" else ["preset("]
        assert any(head in words for head in said), label
        assert any(each in words for each in shown(value)), label


def shown(value) -> tuple[str, ...]:
    """How errors show a value, or else its kind: an array by its shape, a list by what is in it."""
    inside = str(value[0]) if isinstance(value, list) else str(value)
    return inside, type(value).__name__, *(["array"] if isinstance(value, np.ndarray) else [])


MESSAGES = [
    (lambda: ao.adan(0.1, proximal="no"), r"^adan\(proximal='no'\): proximal must be True or F"),
    (lambda: ao.lion(0.1, mask={"w": 0.5}), r"^lion\(mask=0\.5\): mask must be a tree of bools"),
    (lambda: ao.sophia(0.1, hessian=1), r"^sophia\(hessian=1\): hessian must be a function\."),
    (lambda: ao.descend(ao.scale_by_adam(), 0.1, name=1), r"^descend\(name=1\): name must be a w"),
    (lambda: ao.MatrixView(stacked=-1), r"^MatrixView\(stacked=-1\): stacked must be at least 0\."),
    (lambda: ao.MatrixView("1"), r"^MatrixView\(stacked='1'\): stacked must be an integer\."),
    (lambda: ao.muon(0.1, matrices=["w"]), r"^muon\(matrices=\.\.\.\): a leaf has 'w'; write"),
    (lambda: ao.adamw(0.1, b1=1.0), r"^adamw\(b1=1\.0\): b1 must lie in \[0, 1\)\."),
    (
        lambda: ao.rprop(0.1, eta_plus=0.9),
        r"^rprop\(eta_plus=0\.9\): eta_plus must be at least 1\.",
    ),
    (
        lambda: ao.rprop(0.1, largest_step=1e-9),
        r"^rprop\(smallest_step=1e-06, largest_step=1e-09\): smallest_step must be at most",
    ),
    (lambda: ao.nadamw(0.1, b2=-1), r"^nadamw\(b2=-1\): b2 must lie in \[0, 1\)\."),
]


@pytest.mark.parametrize(("build", "message"), MESSAGES)
def test_messages(build, message):
    with pytest.raises((TypeError, ValueError), match=message):
        build()


def test_masks_of_bools_pass():
    for mask in (None, True, np.bool_(True), {"w": np.asarray(False)}, lambda params: params):
        ao.adamw(0.1, mask=mask)
