"""Optimizers, one file per family: the rule, its state and its alias together."""

from jopt.optimizers.adam import adam, adamw, scale_by_adam
from jopt.optimizers.rmsprop import rmsprop, scale_by_rms, scale_by_stddev
from jopt.optimizers.sgd import momentum, sgd

__all__ = [
    "adam",
    "adamw",
    "momentum",
    "rmsprop",
    "scale_by_adam",
    "scale_by_rms",
    "scale_by_stddev",
    "sgd",
]
