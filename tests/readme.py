"""README's table of optimizers and its numbers, from what they count: `python tests/readme.py`."""

import re
from pathlib import Path

from catalogue import CASES
from mutants import MUTANTS

from adaptive_optax import testing

README = Path(__file__).parent.parent / "README.md"
CONTRACT = README.parent / "docs" / "contract.md"
START = "<!-- table: made of tests/catalogue.py by `python tests/readme.py` -->\n"
END = "<!-- end of table -->\n"


def table() -> str:
    """One row for each case that states its rule."""
    rows = ["| name | update rule | slots | when to use |", "|---|---|---|---|"]
    for row in CASES:
        if row.rule:
            rule = row.rule.replace("|", r"\|")  # or it would end the cell
            rows.append(f"| `{row.title}` | {rule} | {row.memory or row.slots} | {row.when} |")
    return "\n".join(rows) + "\n"


def numbers() -> dict[str, str]:
    """The sentences of README that count something, as patterns, with what they must say."""
    kept = re.search(r"\*\*all\*\* .*?(\d+ of \d+).*?(\d+ of \d+)", CONTRACT.read_text())
    return {
        r"\d+ properties, each a test": f"{len(testing.PROPERTIES)} properties, each a test",
        r"\d+ of \d+ cells, optax's \d+ of \d+": f"{kept[1]} cells, optax's {kept[2]}",
        r"\d+ wrong variants": f"{len(MUTANTS)} wrong variants",
    }


def written() -> str:
    """README as it must be."""
    before, rest = README.read_text().split(START)
    _, after = rest.split(END)
    text = before + START + table() + END + after
    for pattern, sentence in numbers().items():
        text, count = re.subn(pattern, sentence, text)
        assert count == 1, f"README has {pattern!r} {count} times; once is right"
    return text


if __name__ == "__main__":
    README.write_text(written())
