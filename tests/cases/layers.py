"""Optimizers: by layer, by sign, and adan."""

from __future__ import annotations

from tests.cases.case import MASK, PER_BRANCH, case, matrices_only
from tests.schedule_cases import BY_NAME

LAYERS = [
    case("lamb", "lamb", learning_rate=1e-2),
    case("lamb_decay", "lamb", learning_rate=BY_NAME["linear"], eps_root=1e-4, weight_decay=0.1, mask=MASK),
    case("lamb_decoupled", "lamb", False, learning_rate=1e-2, weight_decay=1e-3, mask=MASK, decoupled=True),
    case("lars", "lars", learning_rate=0.1),
    case(
        "lars_masks",
        "lars",
        learning_rate=BY_NAME["linear"],
        weight_decay=0.1,
        weight_decay_mask=MASK,
        trust_coefficient=0.01,
        eps=1e-3,
        trust_ratio_mask=matrices_only,
        momentum=0.8,
        nesterov=True,
    ),
    case(
        "lars_decoupled",
        "lars",
        False,
        learning_rate=0.1,
        weight_decay=1e-4,
        weight_decay_mask=MASK,
        trust_coefficient=0.01,
        decoupled=True,
    ),
    # Not Optax's in float64: it takes the decay rate in float32. tests/modern_oracles.py compares the two.
    case("adafactor", "adafactor", False, learning_rate=0.1),
    case(
        "adafactor_factored",
        "adafactor",
        False,
        learning_rate=BY_NAME["exponential"],
        min_dim_size_to_factor=2,
        decay_rate=0.6,
        decay_offset=3,
        clipping_threshold=0.9,
        momentum=0.9,
        weight_decay_rate=1e-3,
        weight_decay_mask=MASK,
        eps=1e-6,
        min_scale=0.5,
    ),
    case(
        "adafactor_bare",
        "adafactor",
        False,
        learning_rate=0.1,
        multiply_by_parameter_scale=False,
        clipping_threshold=None,
        factored=False,
    ),
    case("lion", "lion", learning_rate=1e-2),
    case("lion_decay", "lion", learning_rate=BY_NAME["linear"], b1=0.95, b2=0.98, weight_decay=0.1, mask=matrices_only),
    case("lion_decoupled", "lion", False, learning_rate=PER_BRANCH, weight_decay=1e-3, decoupled=True),
    case("sign_sgd", "sign_sgd", learning_rate=0.01),
    case("sign_sgd_decay", "sign_sgd", False, learning_rate=BY_NAME["linear"], weight_decay=0.1, mask=MASK),
    case("signum", "signum", learning_rate=0.01),
    case("signum_decoupled", "signum", False, learning_rate=0.01, beta=0.8, weight_decay=1e-3, decoupled=True),
    case("adan", "adan", False, learning_rate=1e-2),
    case("adan_decay", "adan", False, learning_rate=1e-2, b1=0.9, b2=0.8, b3=0.95, eps=1e-4, weight_decay=0.1, mask=MASK),
    case("adan_look_ahead", "adan", False, learning_rate=BY_NAME["linear"], look_ahead=0.08, weight_decay=1e-3, decoupled=True),
]
