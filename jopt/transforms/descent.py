"""Steps along a direction, with weight decay beside it: the last parts of an optimizer's chain."""

from __future__ import annotations

from typing import Any

import optax

from jopt.transformation import GradientTransformation
from jopt.transforms.combining import chain
from jopt.transforms.decay import add_decayed_weights
from jopt.transforms.scaling import scale, scale_by_learning_rate


def descent(
    *direction: optax.GradientTransformation,
    learning_rate: Any,
    weight_decay: Any,
    mask: Any,
    decoupled: bool,
) -> GradientTransformation:
    """``w' = w − α (d + λ w)`` along the direction d, or ``w − α d − λ w`` where λ is ``decoupled`` from the rate α.

    Where ``weight_decay`` is ``None`` there is no part for it, so that ``update`` works without the parameters.
    """
    if weight_decay is None:
        return chain(*direction, scale_by_learning_rate(learning_rate))
    decay = add_decayed_weights(weight_decay, mask)
    if not decoupled:
        return chain(*direction, decay, scale_by_learning_rate(learning_rate))
    return chain(*direction, scale_by_learning_rate(learning_rate, flip_sign=False), decay, scale(-1.0))
