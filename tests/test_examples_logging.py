"""What the examples hand to Weights & Biases and MLflow: to stand-ins, and to the libraries themselves where they are."""

import importlib
import types

import numpy as np
import pytest

pytest.importorskip("sklearn")

RATES, STEPS = 4, 40
SIZE = {"rates": RATES, "steps": STEPS, "seeds": 2}


def check(runs, result):
    """``runs``: what was logged of each rate, by step."""
    rates = result.dataset.learning_rate.values
    assert list(runs) == rates.tolist()
    for i, logged in enumerate(runs.values()):
        curve = result.dataset.val_loss[i].mean("seed", skipna=False)
        known = {int(s): v for s, v in zip(curve.eval_step.values, curve.values, strict=True) if s > 0 and np.isfinite(v)}
        assert sorted(logged) == sorted(known)
        np.testing.assert_allclose([logged[step] for step in known], list(known.values()), rtol=1e-6)
    assert len(set(map(len, runs.values()))) > 1, "some were pruned, and so have fewer"


class Run:
    def __init__(self, **options):
        self.options, self.logged, self.over = options, {}, False

    def log(self, metrics, step):
        assert not self.over
        self.logged[step] = metrics["val_loss"]

    def finish(self):
        self.over = True


def test_wandb_is_given_a_run_for_each_rate(tmp_path):
    made = []

    def init(**options):
        made.append(Run(**options))
        return made[-1]

    result = importlib.import_module("examples.log_to_wandb").main(init, out=str(tmp_path), **SIZE)
    assert all(run.over and run.options["reinit"] == "create_new" and run.options["mode"] == "offline" for run in made)
    check({run.options["config"]["learning_rate"]: run.logged for run in made}, result)


class Client:
    """As much of ``mlflow.MlflowClient`` as the example calls."""

    def __init__(self):
        self.runs = {}

    def create_experiment(self, name):
        return "1"

    def create_run(self, experiment, run_name, tags):
        self.runs[run_name] = {"tags": tags, "params": {}, "metrics": {}, "over": False}
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id=run_name))

    def log_param(self, run, name, value):
        self.runs[run]["params"][name] = value

    def log_metric(self, run, name, value, step):
        self.runs[run]["metrics"].setdefault(name, {})[step] = value

    def set_terminated(self, run):
        self.runs[run]["over"] = True


def test_mlflow_is_given_a_run_for_each_rate_inside_one_of_the_sweep():
    client = Client()
    result = importlib.import_module("examples.log_to_mlflow").main(client, **SIZE)
    sweep = client.runs.pop("the sweep")
    assert all(run["over"] and run["tags"] == {"mlflow.parentRunId": "the sweep"} for run in client.runs.values())
    check({run["params"]["learning_rate"]: run["metrics"]["val_loss"] for run in client.runs.values()}, result)
    assert sweep["metrics"]["best val_loss"][STEPS] == result.best().score


@pytest.mark.filterwarnings("default")
def test_wandb_itself_takes_them(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    importlib.import_module("examples.log_to_wandb").main(wandb.init, out=str(tmp_path), **SIZE)
    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == RATES


@pytest.mark.filterwarnings("default")
def test_mlflow_itself_takes_them(tmp_path):
    mlflow = pytest.importorskip("mlflow")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    result = importlib.import_module("examples.log_to_mlflow").main(client, **SIZE)
    experiment = client.get_experiment_by_name("digits").experiment_id
    runs = [run for run in client.search_runs([experiment]) if "learning_rate" in run.data.params]
    logged = {
        float(run.data.params["learning_rate"]): {
            m.step: m.value for m in client.get_metric_history(run.info.run_id, "val_loss")
        }
        for run in runs
    }
    check(dict(sorted(logged.items())), result)
