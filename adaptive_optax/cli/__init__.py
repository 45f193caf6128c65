"""The command `adaptive-optax`, with one module per sub-command.

A sub-command's module has `add_arguments(parser)` and `run(options)`; its docstring is the help
text. It imports what it needs inside `run`, so that help and errors of spelling come at once.
"""

import argparse
import sys
from collections.abc import Sequence

from adaptive_optax.cli import compare, contract, explain, range_test, report
from adaptive_optax.logging.optional_packages import MissingPackageError

COMMANDS = {
    "compare": compare,
    "range-test": range_test,
    "explain": explain,
    "report": report,
    "contract": contract,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sub-command.

    Args:
      argv: the words after the command's name; None takes those of the process.

    Returns:
      The exit code: 0, 1 if the contract is broken, 2 for what the user can set right, 130 after
      Ctrl-C.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    style = argparse.RawDescriptionHelpFormatter
    every = [str(module.__doc__).partition("\n\nThe exit")[0] for module in COMMANDS.values()]
    parser = argparse.ArgumentParser(
        "adaptive-optax",
        description="Adaptive-learning-rate optimizers for JAX.",
        epilog="\n".join(["Examples:", *(text.partition("Examples:\n")[2] for text in every)]),
        formatter_class=style,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        title, _, examples = str(module.__doc__).partition("\n\n")
        title = title[0].lower() + title[1:-1]
        command = commands.add_parser(
            name,
            help=title,
            description=title,
            epilog=examples,
            formatter_class=style,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    try:
        options = parser.parse_args(words)
        options.words = words
        return options.run(options)
    except SystemExit as end:  # argparse has said why
        return int(end.code or 0)
    except KeyboardInterrupt:
        print("interrupted.", file=sys.stderr)
        return 130
    except MissingPackageError as error:
        print(error, file=sys.stderr)
        return 2
