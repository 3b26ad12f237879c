"""In a notebook the progress is a line under the cell that is replaced, without widgets and without a warning."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

# In a process of its own: what runs notebooks starts event loops and warns of its own affairs.
RUN = """
import json, sys
import nbclient, nbformat

cells = json.loads(sys.stdin.read())
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
print("OUTPUTS" + json.dumps([cell.outputs for cell in notebook.cells]))
"""
SWEEP = """
import jax.numpy as jnp, jopt
from jopt.results import progress
progress.Cell.every_s = 0.0
def swept(**options):
    rates = jopt.sgd(jopt.choice(0.1, 0.2))
    return jopt.sweep(lambda w, _: jnp.sum(w**2), jnp.ones(3), rates, steps=40, callbacks=lambda event: None, **options)
"""


@pytest.fixture(scope="module")
def outputs():
    cells = [
        SWEEP,
        "swept();",
        "swept(progress=True);",
        "swept(progress=False);",
        "swept(callbacks=lambda event: 1 / 0)".replace(
            "swept(", "jopt.sweep(lambda w, _: w**2, jnp.float32(1), jopt.sgd(0.1), steps=2, "
        ),
    ]
    cells[4] = f"try:\n    {cells[4]}\nexcept ZeroDivisionError as error:\n    print(error.partial_result.complete)"
    done = subprocess.run([sys.executable, "-c", RUN], input=json.dumps(cells), capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.split("OUTPUTS")[1])


@pytest.mark.parametrize("cell", [1, 2], ids=["by default", "with progress=True"])
def test_a_cell_has_one_line_the_last_one(outputs, cell):
    (output,) = outputs[cell]
    assert output["output_type"] == "display_data"
    assert list(output["data"]) == ["text/plain"]
    assert output["data"]["text/plain"].startswith("sweep 100%, after ")
    assert "2 done, best learning_rate=0.2: loss " in output["data"]["text/plain"]


def test_it_can_be_silenced(outputs):
    assert outputs[3] == []


def test_a_sweep_that_was_stopped_leaves_its_line_and_its_records(outputs):
    line, printed = outputs[4]
    assert "stopped after" in line["data"]["text/plain"]
    assert printed["text"] == "False\n"
