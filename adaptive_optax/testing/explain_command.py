"""`adaptive-optax explain`: what the command line names, in words."""

import argparse
import sys

from adaptive_optax.introspection.explain import explain
from adaptive_optax.testing.case import Case
from adaptive_optax.testing.import_optimizer import from_here, resolve

EXAMPLES = """examples:
  adaptive-optax explain my_module:my_optimizer
      what it is made of, and what in it does nothing or does harm
  adaptive-optax explain optax.adamw
      a constructor is called, with its own learning rate or 0.01

The exit code is 0 where nothing was found, 1 where something was, and 2 for what you can set right.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the words of the sub-command."""
    parser.add_argument("target", metavar="TARGET", help="module:attribute, or module.attribute")


def run(options: argparse.Namespace) -> int:
    """Runs the sub-command.

    Returns:
      The exit code: 0, 1 where something in it does nothing or does harm, 2 for misuse.
    """
    try:
        with from_here():
            tx = Case(resolve(options.target), name=options.target).tx
    except (ValueError, TypeError) as error:
        text = str(error).replace("check_contract(make_tx=", "explain(").replace("contract: ", "")
        print(f"explain: {text}", file=sys.stderr)
        return 2
    return int(bool(explain(tx).findings))
