"""Every row of the table of parity is as it says. Rows with Optax are held to 1e-12 in test_rules."""

import pytest

from tests import parity, torch_rules
from tests.oracles import Row


@pytest.mark.parametrize("source", [name for name in parity.SOURCES if name != "Optax"])
def test_a_row_of_the_table_differs_by_no_more_than_it_says(source, x64):
    rows = parity.SOURCES[source]()
    if not rows:
        pytest.skip("its library is not installed")
    assert parity.faults(parity.measured(rows)) == []


def test_50_of_the_configurations_that_pytorch_tests_its_own_with_are_here():
    pytest.importorskip("torch")
    further = {setting for settings in torch_rules.FURTHER.values() for setting in settings}
    rows = [row for name in torch_rules.RULES for row in torch_rules.rows(name) if row.setting not in further]
    assert len(rows) >= 50


def test_the_table_has_a_line_for_each_optimizer_and_oracle_with_the_largest_difference():
    rows = [Row("adam", "Optax", setting, lambda x=x: x) for setting, x in (("one", 1e-13), ("other", 3e-12))]
    found = parity.measured([*rows, Row("nadam", "Keras", "one", lambda: 1e-3, remark="its μ", deliberate=True)])
    assert [line.split() for line in parity.table(found).splitlines()] == [
        ["optimizer", "oracle", "settings", "largest", "remark"],
        ["adam", "Optax", "2", "3.0e-12"],
        ["nadam", "Keras", "1", "1.0e-03", "meant:", "its", "μ"],
    ]
    assert len(parity.table(found, every=True).splitlines()) == 4


def test_a_row_is_at_fault_beyond_its_limit_and_a_deliberate_one_where_nothing_differs():
    rows = [
        Row("good", "A", "s", lambda: 1e-11),
        Row("bad", "A", "s", lambda: 2e-10),
        Row("wide", "A", "s", lambda: 2e-10, limit=1e-9),
        Row("not a number", "A", "s", lambda: float("nan")),
        Row("apart", "A", "s", lambda: 1e-3, deliberate=True),
        Row("not apart", "A", "s", lambda: 1e-12, deliberate=True),
    ]
    assert [line.split(",")[0] for line in parity.faults(parity.measured(rows))] == ["bad", "not a number", "not apart"]
