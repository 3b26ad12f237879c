"""A sweep in MLflow while it runs: a run for each learning rate inside one of the sweep, in a file, without a server.

What goes wrong first: `mlflow.log_metric` writes to *the* active run, but a callback is told of all settings at once. A client
writes to any run by its id. `mlflow ui --backend-store-uri sqlite:///mlflow.db` shows them, also while the sweep runs.
"""

import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

import jopt


class ToMlflow:
    """A callback that logs the metrics of each setting, means over seeds, to a run of its own."""

    def __init__(self, client, experiment):
        self.client, self.experiment, self.runs = client, experiment, {}
        self.sweep = self._run("the sweep")

    def _run(self, name, **tags):
        return self.client.create_run(self.experiment, run_name=name, tags=tags).info.run_id

    def __call__(self, event):
        now = event.new.sel(eval_step=event.step).mean("seed", skipna=False)
        for rate in now.learning_rate.values.tolist():
            if rate not in self.runs:
                self.runs[rate] = self._run(f"rate {rate:.2g}", **{"mlflow.parentRunId": self.sweep})
                self.client.log_param(self.runs[rate], "learning_rate", rate)
            val_loss = now.val_loss.sel(learning_rate=rate).item()
            if np.isfinite(val_loss):  # a setting that was pruned has no more of it
                self.client.log_metric(self.runs[rate], "val_loss", val_loss, step=event.step)
        if event.best is not None:
            self.client.log_metric(self.sweep, "best val_loss", event.best.score, step=event.step)


def main(client, rates=5, steps=200, seeds=2):
    images, labels = load_digits(return_X_y=True)
    train, val = (images[:1500] / 16, labels[:1500]), (images[1500:] / 16, labels[1500:])

    def loss(params, batch):
        return optax.softmax_cross_entropy_with_integer_labels(batch[0] @ params["w"] + params["b"], batch[1]).mean()

    log = ToMlflow(client, client.create_experiment("digits"))
    params = {"w": jnp.zeros((64, 10)), "b": jnp.zeros(10)}
    optimizer = jopt.adam(jopt.cosine_decay_schedule(jopt.geomspace(1e-3, 1.0, rates, name="learning_rate"), steps))
    setup = {"steps": steps, "batch_size": 64, "seeds": seeds, "evaluate": lambda params: {"val_loss": loss(params, val)}}
    try:
        return jopt.sweep(loss, params, optimizer, train, callbacks=log, prune="auto", **setup)
    finally:
        for run in (*log.runs.values(), log.sweep):
            client.set_terminated(run)


if __name__ == "__main__":
    from mlflow import MlflowClient

    print(main(MlflowClient("sqlite:///mlflow.db")))
