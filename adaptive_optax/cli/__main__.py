"""Run the command: `python -m adaptive_optax.cli`."""

import sys

from adaptive_optax.cli import main

sys.exit(main())
