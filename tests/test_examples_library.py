"""The examples of the library side run, and find what they say."""

import importlib.util
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def _main(name, **words):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main(**words)


def test_the_custom_optimizer_trains_everywhere(capsys):
    found = _main("custom_optimizer", steps=200)
    assert float(found["alone"]) < 0.01
    assert float(found["with a schedule"]) < 0.01
    assert float(found["with a function"]) < 0.01
    assert float(found["in an Optax chain"]) < 0.01
    assert found["at four rates"].shape == (4,)
    assert float(found["at four rates"][1]) == float(found["alone"])
    assert "sign_momentum(learning_rate=0.02, decay=0.9)" in capsys.readouterr().out


def test_jopt_trains_inside_the_other_libraries_and_they_inside_jopt(capsys):
    found = _main("with_optax_flax_equinox", steps=60)
    untrained = 0.55  # the mean square of the targets
    assert all(float(jnp.min(jnp.asarray(error))) < untrained / 2 for error in found.values())
    assert found["four rates of a lifted Optax optimizer"].shape == (4,)
    printed = capsys.readouterr().out
    assert all(name in printed for name in found)


def test_plain_bfloat16_weights_learn_nothing_at_a_rate_at_which_compensated_ones_learn_as_float32(capsys):
    pytest.importorskip("sklearn")
    found = _main("low_precision", rates=2, steps=300, seeds=1, kinds=("float32", "bfloat16, plain", "kahan"))
    np.testing.assert_allclose(found["kahan"], found["float32"], rtol=0.02)
    assert found["bfloat16, plain"][1] > 1.2 * found["float32"][1]
    assert capsys.readouterr().out.count("bytes   validation loss") == 3


def test_soap_before_muon_is_a_composition_that_is_swept_beside_both(capsys):
    pytest.importorskip("sklearn")
    result = _main("soap_before_muon", rates=2, steps=20, seeds=1, fresh=2)
    assert set(result) == {"muon", "soap", "soap before muon"}
    assert all(np.isfinite(group.record.losses["loss"]).all() for group in result.values())
    printed = capsys.readouterr().out
    assert "2 rates, 1 seeds" in printed
    assert printed.count("2 seeds do not tell") + printed.count(": worse, by") == 2
