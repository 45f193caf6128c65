"""The published contract kit, run over the catalogue's rows.

By default some of the rows; all of them among the slow tests. What the kit does not ask stands in
`test_contract_company.py`, `test_contract_leaves.py`, `test_contract_sharding.py` and
`test_contract_state.py`.
"""

import pytest
from catalogue import CASES, by_id, every

from adaptive_optax.testing import check_contract

# Rounding in directions without gradient, which SOAP turns into steps, differs between programs.
ROUNDED = {"vmap", "sharded_updates"}
KNOWN = {
    "soap": ROUNDED,
    "adamw-independent": {"rate_zero"},  # by definition its decay ignores the learning rate
}


@pytest.mark.parametrize("row", every(8, CASES), ids=by_id)
def test_keeps_the_contract(row):
    report = check_contract(row.make, name=row.id)
    assert {each.property for each in report.failures} == KNOWN.get(row.id, set()), report
