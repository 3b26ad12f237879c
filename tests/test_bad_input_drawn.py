"""Every public function, called with drawn arguments, good and bad: a right result, or an error of jopt's own in clear words.

``python -m tests.bad_input --cases 20000`` draws more of them; here are a few of each function.
"""

import inspect
import sys
import time
import warnings

import hypothesis
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase

import jopt
from tests.bad_input import arguments, cases, judging, table
from tests.bad_input.__main__ import title

ROWS = {title(row): row for row in table.rows()}


def of_jopt(call):
    """Makes ``judging`` take a function of this file for one of jopt's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "JOPT", __file__)
        return judging.outcome(call, ["rate"])


def test_every_public_name_is_in_the_table():
    named = {name.removeprefix("jopt.") for name in ROWS if name.startswith("jopt.")}
    assert named | table.MADE_BY_JOPT == set(jopt.__all__)
    assert not named & table.MADE_BY_JOPT


def test_every_argument_that_must_be_given_has_good_values():
    def without(row):
        required = [p for p in row.parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
        return [p.name for p in required if not arguments.good(row.function, p.name, p, dict(row.good))]

    assert {name: missing for name, row in ROWS.items() if (missing := without(row))} == {}


def test_a_new_optimizer_needs_no_row():
    @jopt.transformation(domain={"learning_rate": "[0, inf)", "steepness": "(0, 3]"})
    def steep(learning_rate: jopt.ScalarOrSchedule, steepness: "jopt.Numeric" = 2.0, *, smooth: bool = False):
        return jopt.sgd(learning_rate)

    row = table.row_of("steep", steep)
    good = {p.name: arguments.good(steep, p.name, p, {}) for p in row.parameters}
    assert row.use is table.update
    assert (good["learning_rate"], good["smooth"][:2]) == (arguments.RATES, ("True", "False"))
    assert {"2.0", "0.25", "3.0"} <= set(good["steepness"])


@pytest.mark.parametrize("name", ROWS)
def test_a_call_has_a_right_outcome(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a path may be any word
    row = ROWS[name]

    @hypothesis.seed(7)
    @hypothesis.settings(
        max_examples=1 if row.weight < 5 else 4,
        phases=[Phase.generate, Phase.shrink],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(cases.cases(row))
    def judged(case):
        cases.run(row, case)

    judged()


# What counts as wrong


def refuses(rate):
    raise ValueError(f"rate must be positive, but is {rate}")


def test_an_error_that_is_raised_on_purpose_and_names_the_argument_is_right():
    assert of_jopt(lambda: refuses(-1)) == "ValueError"


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        (lambda: {}["rate"], "foreign: KeyError"),
        (lambda: int("rate"), "foreign: ValueError"),
        (lambda: np.ones(2).reshape(3), "foreign: ValueError"),
        (lambda: warnings.warn("rate", RuntimeWarning, stacklevel=1), "warns: RuntimeWarning"),
        (lambda: np.float64(1.0) / np.float64(0.0), "warns: RuntimeWarning"),
    ],
    ids=["look-up", "conversion", "shapes", "warning", "division"],
)
def test_what_comes_from_elsewhere_is_a_fault(call, fault):
    with pytest.raises(judging.Fault, match=fault):
        judging.outcome(call)


def test_an_error_that_names_no_argument_is_a_fault():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "JOPT", __file__)
        with pytest.raises(judging.Fault, match="names none of"):
            judging.outcome(lambda: refuses(-1), ["momentum"])


def test_a_call_that_hangs_is_a_fault(monkeypatch):
    monkeypatch.setattr(judging, "LONGEST_S", 0.05)
    with pytest.raises(judging.Fault, match="hangs"):
        judging.outcome(lambda: time.sleep(60))


def test_the_table_of_a_run_counts_what_came_of_it(capsys):
    from tests.bad_input.__main__ import main

    assert main(["--cases", "5", "--only", "jopt.clip_by_block"]) == 0
    assert "jopt.clip_by_block_rms" in capsys.readouterr().out
    assert inspect.getmodule(main).__name__ in sys.modules
