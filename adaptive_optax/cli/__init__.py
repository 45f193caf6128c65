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
    helps = {name: str(module.__doc__).partition("\n\n") for name, module in COMMANDS.items()}
    examples = [text.partition("\n\n")[0] for _, _, text in helps.values()]
    parser = argparse.ArgumentParser(
        "adaptive-optax",
        description="Adaptive-learning-rate optimizers for JAX.",
        epilog="\n".join(["examples:", *examples]),
        formatter_class=style,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, (title, _, text) in helps.items():
        title = title[0].lower() + title[1:-1]
        command = commands.add_parser(
            name,
            help=title,
            description=title,
            epilog=f"examples:\n{text}",
            formatter_class=style,
        )
        COMMANDS[name].add_arguments(command)
        command.set_defaults(run=COMMANDS[name].run)
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
