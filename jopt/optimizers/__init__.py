"""Optimizers, one file per family: the rule, its state and its alias together.

A name is exported by its line here and nowhere else: ``jopt`` takes all that this room defines. ``x as x`` tells type
checkers that the name is meant for others.
"""

import typing

from jopt.optimizers.adam import adam as adam
from jopt.optimizers.adam import adamw as adamw
from jopt.optimizers.adam import scale_by_adam as scale_by_adam
from jopt.optimizers.rmsprop import rmsprop as rmsprop
from jopt.optimizers.rmsprop import scale_by_rms as scale_by_rms
from jopt.optimizers.rmsprop import scale_by_stddev as scale_by_stddev
from jopt.optimizers.sgd import momentum as momentum
from jopt.optimizers.sgd import sgd as sgd

if not typing.TYPE_CHECKING:  # they go by the lines above
    __all__ = [name for name, value in globals().items() if getattr(value, "__module__", "").startswith(__name__)]
