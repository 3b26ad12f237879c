"""Schedules beside those of torch.optim.lr_scheduler, float64, 300 steps."""

import warnings

import jax
import numpy as np
import pytest

import jopt

torch = pytest.importorskip("torch")

STEPS = 300
schedulers = torch.optim.lr_scheduler


def theirs(make, rate, **momentum):
    """The rates of 300 steps under one of torch's schedulers."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate, **momentum)
    scheduler = make(optimizer)
    rates = []
    for _ in range(STEPS):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return np.array(rates)


def restarts(t_0, t_mult, count, low):
    cycle = {"init_value": 0.1, "peak_value": 0.1, "warmup_steps": 0, "end_value": low}
    return jopt.sgdr_schedule([{**cycle, "decay_steps": t_0 * t_mult**i} for i in range(count)])


def cyclic(**arguments):
    return lambda optimizer: schedulers.CyclicLR(optimizer, 0.01, 0.1, cycle_momentum=False, **arguments)


def one_cycle(part, total):
    # Their stretches end a step early: at part * total - 1 and at total - 1.
    return (
        jopt.cosine_onecycle_schedule(total - 1, 0.1, (part * total - 1) / (total - 1), 10.0, 100.0),
        lambda optimizer: schedulers.OneCycleLR(
            optimizer, 0.1, total, pct_start=part, div_factor=10.0, final_div_factor=100.0, cycle_momentum=False
        ),
    )


def sequence(optimizer):
    parts = [schedulers.LinearLR(optimizer, 0.01, 1.0, 20), schedulers.StepLR(optimizer, 40, 0.5)]
    return schedulers.SequentialLR(optimizer, parts, [20])


PAIRS = {
    "step": (jopt.step_schedule(0.1, 30), lambda o: schedulers.StepLR(o, 30)),
    "step_other_factor": (jopt.step_schedule(0.1, 7, 0.9), lambda o: schedulers.StepLR(o, 7, 0.9)),
    "cyclic": (jopt.cyclic_schedule(0.01, 0.1, 20), cyclic(step_size_up=20)),
    "cyclic_down": (jopt.cyclic_schedule(0.01, 0.1, 20, 33), cyclic(step_size_up=20, step_size_down=33)),
    "cyclic_halving": (
        jopt.cyclic_schedule(0.01, 0.1, 20, 7, "triangular2"),
        cyclic(step_size_up=20, step_size_down=7, mode="triangular2"),
    ),
    "cyclic_fading": (
        jopt.cyclic_schedule(0.01, 0.1, 20, mode="exp_range", gamma=0.99),
        cyclic(step_size_up=20, mode="exp_range", gamma=0.99),
    ),
    "sawtooth": (jopt.cyclic_schedule(0.01, 0.1, 20, 0), cyclic(step_size_up=20, step_size_down=0)),
    "restarts": (restarts(30, 1, 10, 0.0), lambda o: schedulers.CosineAnnealingWarmRestarts(o, 30)),
    "restarts_longer": (restarts(20, 2, 5, 0.01), lambda o: schedulers.CosineAnnealingWarmRestarts(o, 20, 2, 0.01)),
    "one_cycle": one_cycle(0.3, STEPS),
    "joined": (
        jopt.join_schedules([jopt.linear_schedule(0.001, 0.1, 20), jopt.step_schedule(0.1, 40, 0.5)], [20]),
        sequence,
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_300_steps_agree_with_torch_to_1e_12(name, x64):
    ours, make = PAIRS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of their own deprecations
        expected = theirs(make, 0.1)
    found = jax.vmap(ours)(np.arange(STEPS))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
