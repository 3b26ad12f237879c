"""Building blocks that optimizers are made of, under Optax's names."""

from jopt.transforms.clipping import clip, clip_by_global_norm
from jopt.transforms.combining import chain, identity, named_chain
from jopt.transforms.decay import add_decayed_weights
from jopt.transforms.flattening import flatten
from jopt.transforms.momentum import trace
from jopt.transforms.plateau import ReduceOnPlateauState, reduce_on_plateau
from jopt.transforms.scaling import scale, scale_by_learning_rate, scale_by_schedule

__all__ = [
    "ReduceOnPlateauState",
    "add_decayed_weights",
    "chain",
    "clip",
    "clip_by_global_norm",
    "flatten",
    "identity",
    "named_chain",
    "reduce_on_plateau",
    "scale",
    "scale_by_learning_rate",
    "scale_by_schedule",
    "trace",
]
