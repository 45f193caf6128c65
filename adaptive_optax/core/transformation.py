"""Transformations that know the call that built them.

A transformation is the pair of functions that optax uses, here two methods of one `Body`. The pair
is all that `optax.chain` and others keep; `update.__self__` still leads to the body, and the body
has the call: its name, equality, hash, repr, pickle and what `explain` prints come from there.
"""

import difflib
import functools
import inspect
import pickle
from collections.abc import Callable, Hashable, Mapping
from typing import Any, ClassVar, ParamSpec, cast

import optax

from adaptive_optax.core.checks import called, caller
from adaptive_optax.core.value import Value, expression, kept, key_of

P = ParamSpec("P")


class Transformation(optax.GradientTransformationExtraArgs):
    """An init/update pair of this library."""

    @property
    def body(self) -> "Body":
        """The object whose methods the pair is."""
        return cast(Body, body_of(self))

    @property
    def learning_rate(self) -> Any:
        """The number or schedule that it walks by; None if that is not known."""
        return self.body.learning_rate_used

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Transformation) and self.body.identity == other.body.identity

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.body.identity)

    def __repr__(self) -> str:
        return str(self.body.call) if self.body.call else repr(self.body)

    def __copy__(self) -> "Transformation":
        return self

    def __deepcopy__(self, memo: Any) -> "Transformation":
        return self

    def __reduce__(self) -> Any:
        call = self.body.call
        if call is None:
            return _of_body, (self.body,)
        call.check_pickles()
        return _rebuilt, (call.function, call.arguments, call.token)


class Body(Value):
    """What a transformation does: `init` and `update`, with its options as fields.

    A wrapper names the field of the wrapped transformation `inner`. The other attributes are what
    a body says of itself to those who look at it from outside; each has the usual value here.
    """

    call: ClassVar["Call | None"] = None  # set in each instance by `constructor`
    token: ClassVar[str | None] = None  # makes a body equal to copies of itself alone
    keeps_parameters: ClassVar[bool] = False  # its state has what the parameters were moved to
    passes_gradients: ClassVar[bool] = False  # inner is given the gradients as they are
    encodes_state: ClassVar[bool] = False  # its state has codes in place of inner's slots
    observes: ClassVar[bool] = False  # its updates are those of inner
    shares_state: ClassVar[bool] = False  # its state is that of inner, with nothing added

    def init(self, params: Any) -> Any:
        """The state before the first update."""
        raise NotImplementedError

    def update(
        self, grads: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, Any]:
        """Updates, to be added to the parameters, and the state after them."""
        raise NotImplementedError

    @functools.cached_property
    def name(self) -> str:
        """As users call it, for errors."""
        if self.call is None:
            return type(self).__name__.lower()
        given = self.call.arguments
        direction = getattr(given.get("direction"), "body", None)  # of `descend`
        named = self.call.name if direction is None else direction.name.removeprefix("scale_by_")
        return given.get("name") or named

    @property
    def members(self) -> Mapping[str, optax.GradientTransformation]:
        """The transformations inside, by name."""
        inner = getattr(self, "inner", None)
        return {} if inner is None else {"inner": inner}

    @property
    def learning_rate_used(self) -> Any:
        """The number or schedule that it walks by; None if that is not known."""
        inner = getattr(getattr(self, "inner", None), "body", None)
        return None if inner is None else inner.learning_rate_used

    def factor(self, before: Any, after: Any, params: Any) -> Any:
        """What inner's update is multiplied by: a scalar, or a list with one for each leaf.

        None if more is done to the update, or nothing. before and after are its own states.
        """
        return None

    def shares(self, before: Any) -> Mapping[str, Any] | None:
        """How much of an update each member makes, by name; None if that is no mixture."""
        return None

    @functools.cached_property
    def identity(self) -> Hashable:
        """What equality and hash of the transformation come from."""
        return self.token, self.call.key if self.call else self.key

    def built_by(self, call: "Call") -> "Body":
        """A copy of this body that knows the call."""
        body = object.__new__(type(self))
        for name, value in self.fields().items():
            object.__setattr__(body, name, value)
        object.__setattr__(body, "call", call)
        object.__setattr__(body, "token", call.token)
        return body

    def transformation(self) -> Transformation:
        """The pair of functions."""
        return Transformation(self.init, self.update)


class Call:
    """The call of a public function that built a transformation."""

    def __init__(self, function: Callable[..., Any], arguments: dict[str, Any], token: str | None):
        """Keep a call.

        Args:
          function: the public function.
          arguments: all of them by name, defaults too.
          token: of a transformation whose options do not say all; else None.
        """
        self.function, self.arguments, self.token = function, arguments, token

    @property
    def name(self) -> str:
        """As users write it."""
        return self.function.__name__

    @functools.cached_property
    def key(self) -> Hashable:
        """Equal for calls that build the same."""
        return self.function, tuple(key_of(value) for value in self.arguments.values())

    def __str__(self) -> str:
        return expression(self.name, self.arguments, self.defaults)

    @property
    def defaults(self) -> dict[str, Any]:
        """The arguments that have a default."""
        parameters = _signature(self.function).parameters.values()
        return {p.name: p.default for p in parameters if p.default is not p.empty}

    def check_pickles(self) -> None:
        """Raise if an argument cannot be pickled; the error names it."""
        for name, value in self.arguments.items():
            try:
                pickle.dumps(value)
            except Exception as error:
                raise pickle.PicklingError(
                    f"{self.name}({name}={value!r}): {name} cannot be pickled; give a function "
                    f"that is defined at the top of a module, or a schedule of "
                    f"adaptive_optax.schedules: {error}"
                ) from error


def constructor(function: Callable[P, Transformation]) -> Callable[P, Transformation]:
    """A public function whose transformations know how they were called.

    Errors of checks within it begin with the name of the function that the user called.
    """

    @functools.wraps(function)
    def build(*args: P.args, **kwargs: P.kwargs) -> Transformation:
        try:
            bound = _signature(build).bind(*args, **kwargs)
        except TypeError as error:
            _check_names(build, kwargs)
            raise TypeError(f"{function.__name__}(): {error}.") from None
        bound.apply_defaults()
        arguments = {name: kept(value) for name, value in bound.arguments.items()}
        with called(caller() or function.__name__):
            tx = cast(Callable[..., Transformation], function)(**arguments)
        return tx.body.built_by(Call(build, arguments, tx.body.token)).transformation()

    return build


SPELLINGS = {  # of other libraries
    "lr": "learning_rate",
    "beta1": "b1",
    "beta2": "b2",
    "beta_1": "b1",
    "beta_2": "b2",
    "betas": "b1 and b2",
    "epsilon": "eps",
    "wd": "weight_decay",
    "decay_rate": "decay",
    "rho": "decay",
}


def _check_names(function: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Raise for the first argument that a function does not have; the error gives the spelling."""
    known = _signature(function).parameters
    for name in given:
        if name not in known:
            meant = SPELLINGS.get(name, "")
            near = difflib.get_close_matches(name, known, n=1)
            fits = meant and all(word in known for word in meant.split(" and "))
            hint = meant if fits else next(iter(near), "")
            raise TypeError(
                f"{function.__name__}() got an unexpected keyword argument {name!r}"
                f"{f'; here it is {hint}' if hint else ''}."
            )


def body_of(tx: optax.GradientTransformation) -> Body | None:
    """The body of a transformation of this library, in a chain too; None for all others."""
    update = getattr(tx.update, "__wrapped__", tx.update)  # of `jax.jit`
    body = getattr(update, "__self__", None)
    return body if isinstance(body, Body) else None


@functools.cache
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)


def _rebuilt(
    function: Callable[..., Transformation], arguments: dict[str, Any], token: str | None
) -> Transformation:
    body = function(**arguments).body
    return body.built_by(Call(function, arguments, token)).transformation()


def _of_body(body: Body) -> Transformation:
    return body.transformation()
