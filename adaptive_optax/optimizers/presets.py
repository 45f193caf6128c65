"""Presets: the options that make an optimizer follow another library, or its paper.

A preset stands in the optimizer's record. It writes out every option, so that it does not lean on
our defaults, and never the learning rate. What libraries do that no option here says: Keras and
optax keep the learning rate inside the momentum of RMSProp, and Keras inside that of SGD, which
differs only while the rate changes. Keras adds the whole gradient to Muon's momentum, so that its
eps is 1 / (1 - momentum) of ours; leaves that are no matrices go to another Adam in Keras and
optax. optax's Yogi starts its mean off zero, and its Adan has another factor: neither has a preset.
"""

from typing import Any

from adaptive_optax.core.checks import check_choice, suggestion
from adaptive_optax.optimizers.record import LIBRARIES, records


def preset(library: str, name: str) -> dict[str, Any]:
    """The options with which our optimizer does what a library's does by default.

    Args:
      library: "paper", "torch" (2.13), "keras" (3.15) or "optax" (0.2.8).
      name: an optimizer's name, such as "adam".

    Returns:
      Keyword arguments, a new dict at each call; change `eps` or another in it at will.

    Raises:
      ValueError: for an unknown library, or an optimizer that the library does not have.

    >>> preset("torch", "adagrad")["eps"]
    1e-10
    """
    check_choice(LIBRARIES, "preset", library=library)
    known = {each: record for each, record in records().items() if library in record.presets}
    if not isinstance(name, str) or name not in known:
        raise ValueError(
            f"preset({library!r}, {name!r}): no such optimizer there; it has "
            f"{', '.join(known)}{suggestion(name, tuple(known))}"
        )
    return known[name].preset(library)
