"""The example with a pruner of one's own."""

import importlib
import inspect

import jax.numpy as jnp
import numpy as np
import pytest

import jopt

pytest.importorskip("sklearn")


def _example():
    return importlib.import_module("examples.own_pruner")


def test_a_pruner_of_ones_own_takes_ten_lines_and_stops_what_is_far_behind(capsys):
    made = _example()
    code = [line for line in inspect.getsource(made.FarBehind).splitlines() if line.strip() and '"""' not in line]
    assert len(code) <= 10
    result = made.main(rates=5, steps=60, seeds=2)
    stopped = result.dataset.pruned_at.values
    assert set(stopped[~np.isnan(stopped)]) <= {6, 20}
    assert np.isnan(stopped).any(axis=1).any()
    assert not np.isnan(stopped).all()
    assert 0 < result.saved.lane_steps < 5 * 2 * 60
    printed = capsys.readouterr().out
    assert "stopped after 6 steps: " in printed
    assert "use learning_rate.init_value " in printed


def test_the_example_is_short_and_says_first_what_goes_wrong():
    source = inspect.getsource(_example())
    assert sum(1 for line in source.splitlines() if line.strip()) < 60
    assert "\n\nWhat goes wrong first: " in source


def test_a_constant_rate_warns_as_the_example_says():
    with pytest.warns(UserWarning, match="does not decay"):
        jopt.sweep(
            lambda w, batch: jnp.sum(w**2), jnp.ones(2), jopt.sgd(jopt.choice(0.1, 0.2)), steps=30, prune=_example().FarBehind()
        )
