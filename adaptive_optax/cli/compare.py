"""Train one model with several optimizers and say which to take.

  adaptive-optax compare
      all optimizers on digits, learning rates searched: under 3 minutes on 2 cores
  adaptive-optax compare --optimizers "adam,radam,lookahead(radam)" --seeds 5
  adaptive-optax compare --optimizers sgd,adagrad,rmsprop,adam --learning-rate 0.001
      the classical comparison at one fixed learning rate
  adaptive-optax compare --optimizers adam,lion --learning-rate step
      a schedule over searched learning rates; 0.01:step starts at this one
  adaptive-optax compare --task text --optimizers "adam,lion,blend(adam+lion),switch(adam->sgd)"
      mixtures, tuned by as many runs as one optimizer; at half of the run is where it switches
  adaptive-optax compare --optimizers "switch(adam->sgd,when=swats),lookahead(radam,every=10)"
      options of wrappers, as their functions name them
  adaptive-optax compare --task regression --optimizers sgd --learning-rate 0.01
  adaptive-optax compare --seeds 10 --out tens --resume
      resumes where a kill or Ctrl-C ended it; safe to start again and again
  adaptive-optax compare --task cifar10 --data-dir ~/data/cifar-10-batches-py --epochs 20

The exit code is 0 if it has compared, 2 for what you can set right, and 130 after Ctrl-C.
"""

import argparse
import functools
import shlex
import sys

from adaptive_optax.logging.optional_packages import optional

TASKS = "digits (default), digits_mlp, text, imbalanced, imbalanced_weighted, cifar10, regression"

PASSED = ("seeds", "epochs", "grid", "evaluate_every", "learning_rate", "data_dir", "out", "resume")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the sub-command."""
    add = parser.add_argument
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
        help="a rate for all, a schedule (exponential, step), or both (0.01:step); searched by "
        "default",
    )
    add("--seeds", type=int, metavar="N", help="runs per learning rate (digits: 3)")
    add("--epochs", type=int, metavar="N", help="passes over the data (digits: 15)")
    add("--grid", type=int, default=3, metavar="N", help="learning rates at a time (default 3)")
    add(
        "--evaluate-every",
        type=int,
        metavar="N",
        help="steps from one evaluation to the next (digits: 33, an epoch)",
    )
    add("--data-dir", metavar="DIR", help="where the files of cifar10 are")
    out = "adaptive_optax_compare"
    add("--out", default=out, metavar="DIR", help="for results and pictures (default %(default)s)")
    add(
        "--resume",
        action="store_true",
        help="take what is finished in --out after a kill or Ctrl-C, and train the rest",
    )


def run(options: argparse.Namespace) -> int:
    """Run the sub-command; return the exit code."""
    for module in ("rich", "matplotlib"):
        optional("compare", module, "compare")
    from rich.console import Console

    from adaptive_optax import comparison
    from adaptive_optax.comparison import summary_table, tasks
    from adaptive_optax.comparison.progress import Bar, Lines

    if options.task in tasks.FROM_SKLEARN:
        optional("compare", "sklearn", "compare")
    console = Console()
    progress = Bar(console) if console.is_terminal else Lines(functools.partial(print, flush=True))
    interrupted = False
    try:
        found = comparison.compare(
            options.task,
            options.optimizers,
            **{name: getattr(options, name) for name in PASSED},
            progress=progress,
        )
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        interrupted = True
    else:
        summary_table.show(found, console)
        print(f"{found.seconds:.0f} s; results and pictures are in {options.out}")
        interrupted = found.interrupted
    if not interrupted:
        return 0
    again = ["adaptive-optax", *options.words, *([] if options.resume else ["--resume"])]
    print(
        f"interrupted; what was finished is kept in {options.out}. Go on with:\n"
        f"  {shlex.join(again)}",
        file=sys.stderr,
    )
    return 130
