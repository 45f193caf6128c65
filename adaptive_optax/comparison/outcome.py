"""`Comparison`: the results of a comparison, which show and save themselves."""

from dataclasses import dataclass
from pathlib import Path

from adaptive_optax.comparison.results import Results


@dataclass
class Comparison(Results):
    """All rows, the best first, and how they were made."""

    def show(self) -> None:
        """Print the table and what to take; needs rich."""
        from adaptive_optax.comparison import summary_table

        summary_table.show(self)

    def save(self, out: str | Path) -> list[Path]:
        """Write results.json, results.csv and the pictures; needs matplotlib.

        Returns:
          The files.
        """
        from adaptive_optax.comparison import plots, result_files

        return [*result_files.write(self, Path(out)), *plots.draw(self, Path(out))]
