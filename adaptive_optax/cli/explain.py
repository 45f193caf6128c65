"""Say what a transformation is made of, and what in it does not work.

  adaptive-optax explain my_module:my_optimizer
      what it is made of, and what in it does nothing or does harm
  adaptive-optax explain optax.adamw
      a constructor is called, with its own learning rate or 0.01

The exit code is 0 if nothing was found, 1 if something was, and 2 for what you can set right.
"""

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the sub-command."""
    parser.add_argument("target", metavar="TARGET", help="module:attribute, or module.attribute")


def run(options: argparse.Namespace) -> int:
    """Run the sub-command; return the exit code."""
    from adaptive_optax import explain
    from adaptive_optax.testing.case import Case
    from adaptive_optax.testing.import_optimizer import from_here, resolve

    try:
        with from_here():
            tx = Case(resolve(options.target), name=options.target).tx
    except (ValueError, TypeError) as error:
        text = str(error).replace("check_contract(make_tx=", "explain(").replace("contract: ", "")
        print(f"explain: {text}", file=sys.stderr)
        return 2
    return int(bool(explain(tx).findings))
