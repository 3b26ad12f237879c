"""``jopt.inspect`` and ``python -m jopt inspect``: what is in a file, and what is damaged."""

import os
import re
import sqlite3
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from jopt.__main__ import main


def saved(path, **options):
    rates = jopt.choice(0.1, 0.2, 0.3)
    optimizers = {"sgd": jopt.sgd(rates), "adam": jopt.adam(rates, b1=jopt.choice(0.8, 0.9))}
    options = {"steps": 4, "seeds": 2, "progress": False, **options}
    made = jopt.sweep(lambda w, _: jnp.sum(w**2), jnp.ones(100), optimizers, **options)
    made.save(path)
    return made


def test_a_file_is_shown_with_its_groups_lanes_steps_and_versions(tmp_path):
    saved(tmp_path / "a.jopt", keep="carry")
    found = jopt.inspect(tmp_path / "a.jopt")
    assert [(each.name, each.axes, each.seeds, each.lanes) for each in found.sweeps] == [
        ("sgd", {"learning_rate": 3}, 2, 6),
        ("adam", {"learning_rate": 3, "b1": 2}, 2, 12),
    ]
    sgd, adam = found.sweeps
    assert (sgd.steps, sgd.steps_done, sgd.finished, sgd.diverged, sgd.pruned, sgd.to_go) == (4, (4, 4), 6, 0, 0, 0)
    assert sgd.kept == {"params": 6 * 100 * 4}
    assert adam.kept == {"params": 12 * 100 * 4, "state": 12 * (2 * 100 + 1) * 4}
    assert found.damage == []
    assert found.size == os.path.getsize(tmp_path / "a.jopt")
    assert found.versions["jopt"] == jopt.__version__
    shown = str(found)
    for part in ("a.jopt", "jopt 0.1.0", "3 learning_rate x 2 b1", "params (2.4 kB)", "Intact", "(save)"):
        assert part in shown
    assert "<table>" in found._repr_html_()
    assert "3 learning_rate x 2 b1" in found._repr_html_()


def test_lanes_that_diverged_or_were_pruned_are_counted(tmp_path):
    made = jopt.sweep(lambda w, _: jnp.sum(w**4), jnp.full(3, 9.0), jopt.sgd(jopt.choice(1e-3, 1e30)), steps=9, progress=False)
    made.save(tmp_path / "a")
    (found,) = jopt.inspect(tmp_path / "a").sweeps
    assert (found.diverged, found.finished, found.to_go, found.steps_done[1]) == (1, 1, 0, 9)
    assert found.steps_done[0] == int(made.record.steps_done.min())


def test_of_a_sweep_under_way_pruned_lanes_are_not_called_finished(tmp_path):
    class Half:
        metric = mode = None

        def rungs(self, steps):
            return [4]

        def keep(self, rung):
            return np.arange(len(rung.settings)) >= 2

    def stop(event):
        if event.step >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jopt.sweep(
            lambda w, _: jnp.sum(w**2), jnp.ones(3), jopt.sgd(jopt.cosine_decay_schedule(jopt.choice(0.1, 0.2, 0.3, 1e30), 20)),
            steps=20, seeds=2, evaluate=lambda w: {"size": jnp.sum(w**2)}, eval_every=4, callbacks=stop, prune=Half(),
            checkpoint=tmp_path, progress=False,
        )  # fmt: skip
    (found,) = jopt.inspect(tmp_path).sweeps
    assert (found.lanes, found.finished, found.pruned, found.diverged, found.to_go) == (8, 0, 4, 2, 2)
    head, _, row = str(jopt.inspect(tmp_path)).splitlines()[2:5]
    assert re.split(r"\s{2,}", head)[6:10] == ["finished", "pruned", "diverged", "to go"]
    assert re.split(r"\s{2,}", row)[6:10] == ["0", "4", "2", "2"]


def test_lanes_that_were_left_behind_are_counted_as_such(tmp_path):
    def sweep(params, rates):
        options = {"keep": "carry", "progress": False}
        return jopt.sweep(lambda w, _: jnp.sum(w**2), params, jopt.sgd(rates), steps=4, **options)

    first = sweep(jnp.ones(3), jopt.choice(0.1, 0.2))
    first.concat(sweep(first.best(), 0.2)).save(tmp_path / "both")
    (found,) = jopt.inspect(tmp_path / "both").sweeps
    assert (found.lanes, found.finished, found.left, found.to_go) == (2, 1, 1, 0)
    assert "2 (1 left behind)" in str(jopt.inspect(tmp_path / "both"))


def test_the_command_prints_what_inspect_finds(tmp_path, capsys):
    saved(tmp_path / "a.jopt")
    assert main(["inspect", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(jopt.inspect(tmp_path / "a.jopt"))


def test_the_command_runs_as_a_module(tmp_path):
    saved(tmp_path / "a.jopt")
    command = [sys.executable, "-m", "jopt", "inspect", str(tmp_path / "a.jopt")]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ":".join(sys.path)})
    assert (done.returncode, done.stderr) == (0, "")
    assert "Intact" in done.stdout


@pytest.mark.parametrize(("name", "message"), [("none", "FileNotFoundError"), ("text", "ValueError: .*it is no database")])
def test_the_command_says_what_it_can_not_read(tmp_path, capsys, name, message):
    (tmp_path / "text").write_text("no results")
    assert main(["inspect", str(tmp_path / name)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.match(message, printed.err)


def test_what_is_damaged_is_named_and_the_rest_is_shown(tmp_path, capsys):
    path = tmp_path / "a"
    saved(path)
    db = sqlite3.connect(path)
    db.execute("UPDATE parts SET content = zeroblob(5) WHERE id = 3")
    db.execute("UPDATE records SET parent = 9 WHERE id = 1")
    db.execute("DELETE FROM states WHERE id = 2")
    db.commit()
    db.close()
    found = jopt.inspect(path)
    assert len(found.sweeps) + len(found.damage) >= 3
    for part in ("row 3 of its table parts", "row 1 of its table records", "states has 1 rows"):
        assert any(part in line for line in found.damage)
    assert "Damaged in" in str(found)
    assert "Damaged in" in found._repr_html_()
    assert main(["inspect", str(path)]) == 1
    assert "row 1 of its table records" in capsys.readouterr().out


@pytest.mark.parametrize("page", range(1, 12))
def test_a_page_of_nonsense_is_damage_that_is_shown(tmp_path, page):
    path = tmp_path / "a"
    saved(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: page * 4096] + np.random.default_rng(page).bytes(4096) + whole[(page + 1) * 4096 :])
    assert jopt.inspect(path).damage != []
    assert "Damaged" in str(jopt.inspect(path))
