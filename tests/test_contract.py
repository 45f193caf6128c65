"""The published contract kit, run over the catalogue's rows.

By default some of the rows; all of them among the slow tests. What the kit does not ask stands in
`test_contract_company.py`, `test_contract_leaves.py`, `test_contract_sharding.py` and
`test_contract_state.py`.
"""

import pytest
from catalogue import CASES, by_id, every

from adaptive_optax.testing import assert_contract, check_contract

KNOWN = {  # what a row does not keep, by what it is
    "adam-l2": {"zero_gradients"},  # Adam divides the decay by its size: steps pass over zero
    "adamw-independent": {"rate_zero"},  # its decay does not depend on the learning rate
    "ademamix-warm-up": {"descends"},  # it warms up for as many steps as the property takes
    "lars": {"traced_rate"},  # at rate 1 the first step is on the optimum, where |g| divides
    "radam-skip": {"none_leaves", "integer_leaves", "float0_gradients", "odd_shapes"},  # no steps
    # Their updates are small differences of positions, so that roundings weigh more.
    "lookahead(momentum)": {"bfloat16_run"},
    "lookahead(adam)": {"bfloat16_run"},
    "lookahead(adam)-reset": {"bfloat16_run"},
    "schedule_free(sgd)": {"bfloat16_run"},
    "schedule_free(adamw)": {"bfloat16_run"},
    # Here optax.tree.get finds each slot twice: the state of the inner optimizer is kept twice.
    "lookahead(momentum)-pullback": {"bfloat16_run", "state_by_name"},
    # Rounding in directions without gradient, which SOAP turns into steps, differs by program.
    "soap": {"vmap", "sharded_updates"},
    "soap-blocks": {"vmap"},
}
QUICK = "wide_slots, update_dtype, abstract_init, state_by_name"  # these compile almost nothing


@pytest.mark.fast
@pytest.mark.parametrize("row", CASES, ids=by_id)
def test_keeps_the_quick_part_of_the_contract(row):
    assert_contract(row.make, properties=QUICK, without=KNOWN.get(row.id, set()), name=row.id)


@pytest.mark.parametrize("row", every(8, CASES), ids=by_id)
def test_keeps_the_contract(row):
    report = check_contract(row.make, name=row.id)
    assert {each.property for each in report.failures} == KNOWN.get(row.id, set()), report
