"""README's table of optimizers, made of the catalogue: `python tests/readme.py` writes it."""

from pathlib import Path

from catalogue import CASES

README = Path(__file__).parent.parent / "README.md"
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


def parts() -> tuple[str, str, str]:
    """README before the table, the table, and after it."""
    before, rest = README.read_text().split(START)
    inside, after = rest.split(END)
    return before + START, inside, END + after


if __name__ == "__main__":
    before, _, after = parts()
    README.write_text(before + table() + after)
