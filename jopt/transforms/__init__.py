"""Building blocks that optimizers are made of, under Optax's names.

A name is exported by its line here and nowhere else: ``jopt`` takes all that this room defines. ``x as x`` tells type
checkers that the name is meant for others.
"""

import typing

from jopt.transforms.accumulation import accumulate as accumulate
from jopt.transforms.averaging import evaluation_params as evaluation_params
from jopt.transforms.averaging import parameter_ema as parameter_ema
from jopt.transforms.averaging import tail_average as tail_average
from jopt.transforms.blocks import clip_by_block_rms as clip_by_block_rms
from jopt.transforms.blocks import scale_by_param_block_rms as scale_by_param_block_rms
from jopt.transforms.blocks import scale_by_trust_ratio as scale_by_trust_ratio
from jopt.transforms.clipping import clip as clip
from jopt.transforms.clipping import clip_by_global_norm as clip_by_global_norm
from jopt.transforms.combining import chain as chain
from jopt.transforms.combining import identity as identity
from jopt.transforms.combining import named_chain as named_chain
from jopt.transforms.decay import add_cautious_weight_decay as add_cautious_weight_decay
from jopt.transforms.decay import add_decayed_weights as add_decayed_weights
from jopt.transforms.flattening import flatten as flatten
from jopt.transforms.guarding import apply_if_finite as apply_if_finite
from jopt.transforms.hyperball import hyperball as hyperball
from jopt.transforms.masking import freeze as freeze
from jopt.transforms.masking import masked as masked
from jopt.transforms.masking import set_to_zero as set_to_zero
from jopt.transforms.matching import matching as matching
from jopt.transforms.matrices import matrixwise as matrixwise
from jopt.transforms.momentum import ema as ema
from jopt.transforms.momentum import trace as trace
from jopt.transforms.orthogonal import normalize_neurons as normalize_neurons
from jopt.transforms.orthogonal import orthogonalize as orthogonalize
from jopt.transforms.orthogonal import scale_by_shape as scale_by_shape
from jopt.transforms.partitioning import partition as partition
from jopt.transforms.plateau import reduce_on_plateau as reduce_on_plateau
from jopt.transforms.precision import kahan as kahan
from jopt.transforms.precision import master_weights as master_weights
from jopt.transforms.precision import stochastic_rounding as stochastic_rounding
from jopt.transforms.scaling import scale as scale
from jopt.transforms.scaling import scale_by_learning_rate as scale_by_learning_rate
from jopt.transforms.scaling import scale_by_schedule as scale_by_schedule
from jopt.transforms.state_precision import bfloat16_states as bfloat16_states

if not typing.TYPE_CHECKING:  # they go by the lines above
    __all__ = [name for name, value in globals().items() if getattr(value, "__module__", "").startswith(__name__)]
