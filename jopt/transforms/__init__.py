"""Building blocks that optimizers are made of, under Optax's names."""

from jopt.transforms.accumulation import AccumulateState, accumulate
from jopt.transforms.clipping import clip, clip_by_global_norm
from jopt.transforms.combining import chain, identity, named_chain
from jopt.transforms.decay import add_decayed_weights
from jopt.transforms.flattening import flatten
from jopt.transforms.guarding import apply_if_finite
from jopt.transforms.masking import freeze, masked, set_to_zero
from jopt.transforms.matrices import MatrixwiseState, matrixwise
from jopt.transforms.momentum import trace
from jopt.transforms.partitioning import partition
from jopt.transforms.plateau import ReduceOnPlateauState, reduce_on_plateau
from jopt.transforms.scaling import scale, scale_by_learning_rate, scale_by_schedule

__all__ = [
    "AccumulateState",
    "MatrixwiseState",
    "ReduceOnPlateauState",
    "accumulate",
    "add_decayed_weights",
    "apply_if_finite",
    "chain",
    "clip",
    "clip_by_global_norm",
    "flatten",
    "freeze",
    "identity",
    "masked",
    "matrixwise",
    "named_chain",
    "partition",
    "reduce_on_plateau",
    "scale",
    "scale_by_learning_rate",
    "scale_by_schedule",
    "set_to_zero",
    "trace",
]
