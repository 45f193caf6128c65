"""The command `adaptive-optax`: a thin dispatcher; what a sub-command needs is imported with it."""

import argparse
import importlib
import shlex
import sys
from collections.abc import Sequence

EXTRA = 'pip install "adaptive-optax[compare]"'
EXAMPLES = """examples:
  adaptive-optax compare
      all optimizers on digits, rates searched: under 3 minutes on 2 cores
  adaptive-optax compare --optimizers "adam,radam,lookahead(radam)" --seeds 5
  adaptive-optax compare --optimizers sgd,adagrad,rmsprop,adam --learning-rate 0.001
      the classical comparison at one fixed rate
  adaptive-optax compare --optimizers adam,lion --learning-rate step
      a schedule over searched rates; 0.01:step fixes the rate at its start
  adaptive-optax compare --task text --optimizers "adam,lion,blend(adam+lion),switch(adam->sgd)"
      mixtures, tuned by as many runs as one optimizer; at half of the run is where it switches
  adaptive-optax compare --optimizers "switch(adam->sgd,when=swats),lookahead(radam,every=10)"
      options of wrappers, as their functions name them
  adaptive-optax compare --task regression --optimizers sgd --learning-rate 0.01
  adaptive-optax compare --seeds 10 --out tens --resume
      goes on where a kill or Ctrl-C ended it; safe to start again and again
  adaptive-optax compare --task cifar10 --data-dir ~/data/cifar-10-batches-py --epochs 20
"""
CONTRACT_EXAMPLES = """examples:
  adaptive-optax contract optax.adam
      every property of the contract, with evidence of what is not kept: 10 seconds
  adaptive-optax contract my_module:my_optimizer adaptive_optax.lion
      several side by side; my_module may be a file in the current directory
  adaptive-optax contract optax.adam --properties fixed_point,huge_gradients
  adaptive-optax contract --list
  adaptive-optax contract --page docs/contract.md
      the page of all optimizers, here and in optax: a quarter of an hour

The exit code is 0 where all is kept, 1 where a property failed and 2 for misuse.
"""
TASKS = "digits (default), digits_mlp, text, imbalanced, imbalanced_weighted, cifar10, regression"
OTHER_EXAMPLES = """  adaptive-optax range-test --optimizers adam,lion
  adaptive-optax explain my_module:my_optimizer
  adaptive-optax report runs
"""
OTHERS = {  # module with add_arguments, run and EXAMPLES; packages needed; help
    "range-test": (
        "adaptive_optax.comparison.range_command",
        {"rich": "rich", "matplotlib": "matplotlib"},
        "find the learning rates that an optimizer bears on a task",
    ),
    "explain": (
        "adaptive_optax.testing.explain_command",
        {},
        "say what a transformation is made of, and what in it does not work",
    ),
    "report": (
        "adaptive_optax.monitoring.report",
        {},
        "write one page of HTML about the logs in a directory",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a sub-command.

    Args:
      argv: the words after the command's name; None takes the process's own.

    Returns:
      The exit code: 0, 1 where the contract is not kept, 2 for what the user can set right, 130
      after Ctrl-C.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        options = _parser(words).parse_args(words)
        options.words = words
        return options.run(options)
    except SystemExit as end:  # argparse has said why
        return int(end.code or 0)
    except KeyboardInterrupt:
        print("interrupted.", file=sys.stderr)
        return 130
    except _MissingError as error:
        print(error, file=sys.stderr)
        return 2


class _MissingError(Exception):
    """An optional package that is not installed."""


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "adaptive-optax",
        description="Adaptive-learning-rate optimizers for JAX.",
        epilog="\n".join((EXAMPLES, OTHER_EXAMPLES, CONTRACT_EXAMPLES.partition("\n")[2])),
        formatter_class=formatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_compare(commands, formatter)
    _add_contract(commands, formatter)
    for name, (path, packages, text) in OTHERS.items():
        asked = words[:1] == [name]  # what a command needs is imported with it
        if asked:
            _need(name, **packages)
        module = importlib.import_module(path) if asked else None
        other = commands.add_parser(
            name,
            help=text,
            description=text,
            epilog=getattr(module, "EXAMPLES", None),
            formatter_class=formatter,
        )
        if module is not None:
            module.add_arguments(other)
            other.set_defaults(run=module.run)
    return parser


def _add_compare(commands, formatter: type) -> None:
    help_text = "train one model with several optimizers and say which to take"
    compare = commands.add_parser(
        "compare", help=help_text, description=help_text, epilog=EXAMPLES, formatter_class=formatter
    )
    add = compare.add_argument
    add("--task", default="digits", help=TASKS)
    add(
        "--optimizers",
        metavar="A,B",
        help="names with commas between; a wrapper has others inside, and options: "
        "lookahead(adam,every=10), blend(adam+lion), switch(adam->sgd); all by default",
    )
    add(
        "--learning-rate",
        metavar="X",
        help="a rate for all, a schedule (exponential, step), or "
        "both (0.01:step); searched by default",
    )
    add("--seeds", type=int, metavar="N", help="runs a learning rate (digits: 3)")
    add("--epochs", type=int, metavar="N", help="passes over the data (digits: 15)")
    add("--grid", type=int, default=3, metavar="N", help="learning rates at a time (default 3)")
    add(
        "--evaluate-every",
        type=int,
        metavar="N",
        help="steps from one evaluation to the next (digits: 33, an epoch)",
    )
    add("--data-dir", metavar="DIR", help="where the files of cifar10 are")
    add(
        "--out",
        default="adaptive_optax_compare",
        metavar="DIR",
        help="for results and pictures (default %(default)s)",
    )
    add(
        "--resume",
        action="store_true",
        help="take up what is finished in --out after a kill or Ctrl-C, and go on with the rest",
    )
    compare.set_defaults(run=_compare)


def _compare(options: argparse.Namespace) -> int:
    _need("compare", rich="rich", matplotlib="matplotlib")
    from rich.console import Console

    from adaptive_optax import comparison
    from adaptive_optax.comparison import report, tasks
    from adaptive_optax.comparison.progress import Bar, Lines

    if options.task in tasks.FROM_SKLEARN:
        _need("compare", sklearn="scikit-learn")
    console = Console()
    progress: Lines = Bar(console) if console.is_terminal else Lines(_write)
    try:
        found = comparison.compare(
            options.task,
            options.optimizers,
            seeds=options.seeds,
            epochs=options.epochs,
            grid=options.grid,
            evaluate_every=options.evaluate_every,
            learning_rate=options.learning_rate,
            data_dir=options.data_dir,
            out=options.out,
            resume=options.resume,
            progress=progress,
        )
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return _stopped(options)
    report.show(found, console)
    print(f"{found.seconds:.0f} s; results and pictures are in {options.out}")
    return _stopped(options) if found.interrupted else 0


def _stopped(options: argparse.Namespace) -> int:
    """Says what Ctrl-C has left, and how to go on."""
    again = ["adaptive-optax", *options.words, *([] if options.resume else ["--resume"])]
    print(
        f"interrupted; what was finished is kept in {options.out}. Go on with:\n"
        f"  {shlex.join(again)}",
        file=sys.stderr,
    )
    return 130


def _add_contract(commands, formatter: type) -> None:
    help_text = "try the contract on any optax-style transformation"
    contract = commands.add_parser(
        "contract",
        help=help_text,
        description=help_text,
        epilog=CONTRACT_EXAMPLES,
        formatter_class=formatter,
    )
    add = contract.add_argument
    add("targets", nargs="*", metavar="TARGET", help="module.attribute, or module:attribute")
    add("--properties", metavar="A,B", help="names of properties; all by default")
    add("--without", metavar="A,B", help="names of properties to leave out")
    add("--list", action="store_true", help="list the properties, and do no more")
    add("--page", metavar="FILE", help="write a page of Markdown; without targets, on all we know")
    contract.set_defaults(run=_contract)


def _contract(options: argparse.Namespace) -> int:
    from adaptive_optax.testing import command

    return command.run(options)


def _need(command: str, **packages: str) -> None:
    """Each module (keyword) imports; else says which package (value) to install, and how."""
    for module, package in packages.items():
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise _MissingError(
                f"{command}: {package} is missing; install it with: {EXTRA}"
            ) from error


def _write(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
