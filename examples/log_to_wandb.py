"""A sweep in Weights & Biases while it runs: one run for each learning rate, and no account is needed.

What goes wrong first: a callback is told of all settings at once, so `wandb.log`, which writes to *the* run of the process,
puts all curves into one. `wandb.init(reinit="create_new")` makes a run for each setting. They are offline, and
`wandb sync wandb/offline-*` sends them to the server later.
"""

import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

import jopt


class ToWandb:
    """A callback that logs the metrics of each setting, means over seeds, to a run of its own."""

    def __init__(self, init, **options):
        self.init, self.options, self.runs = init, options, {}

    def __call__(self, event):
        now = event.new.sel(eval_step=event.step).mean("seed", skipna=False)
        for rate in now.learning_rate.values.tolist():
            if rate not in self.runs:
                config = {"learning_rate": rate, "seeds": event.new.sizes["seed"]}
                self.runs[rate] = self.init(name=f"rate {rate:.2g}", config=config, **self.options)
            val_loss = now.val_loss.sel(learning_rate=rate).item()
            if np.isfinite(val_loss):  # a setting that was pruned has no more of it
                self.runs[rate].log({"val_loss": val_loss}, step=event.step)

    def finish(self):
        for run in self.runs.values():
            run.finish()


def main(init, rates=5, steps=200, seeds=2, out="."):
    images, labels = load_digits(return_X_y=True)
    train, val = (images[:1500] / 16, labels[:1500]), (images[1500:] / 16, labels[1500:])

    def loss(params, batch):
        return optax.softmax_cross_entropy_with_integer_labels(batch[0] @ params["w"] + params["b"], batch[1]).mean()

    log = ToWandb(init, project="jopt", group="digits", dir=out, mode="offline", reinit="create_new")
    params = {"w": jnp.zeros((64, 10)), "b": jnp.zeros(10)}
    optimizer = jopt.adam(jopt.cosine_decay_schedule(jopt.geomspace(1e-3, 1.0, rates, name="learning_rate"), steps))
    setup = {"steps": steps, "batch_size": 64, "seeds": seeds, "evaluate": lambda params: {"val_loss": loss(params, val)}}
    try:
        return jopt.sweep(loss, params, optimizer, train, callbacks=log, prune="auto", **setup)
    finally:
        log.finish()


if __name__ == "__main__":
    import wandb

    print(main(wandb.init))
