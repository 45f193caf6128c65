"""Writes recorded/state_paths.json: `python tests/record_states.py`. Recorded states must stay."""

import json

from catalogue import CASES
from test_contract_state import RECORD, state_paths


def main() -> None:
    """Add the states of new rows; refuse to change those that are recorded."""
    before = json.loads(RECORD.read_text())
    now = {row.id: state_paths(row.make()) for row in CASES}
    changed = [name for name, paths in before.items() if now.get(name) != paths]
    if changed:
        raise SystemExit(f"states that are recorded would change: {', '.join(changed)}")
    RECORD.write_text(json.dumps(now, indent=1) + "\n")


if __name__ == "__main__":
    main()
