"""One table of cases: every transformation, every optimizer and every schedule, with several settings of each.

A case makes jopt's value, Optax's where Optax has the same rule, and the NumPy loop of ``tests/*reference.py``, all from one
set of arguments. Add a row for every new rule; the contracts of the other test files then hold it too.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jopt
from tests.reference import ravel
from tests.schedule_cases import BY_NAME, LOOPS, ROOMS, convert


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A transformation: the factory's name, its arguments (or the parts of a chain), and whether Optax has the rule."""

    name: str
    factory: str
    kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)
    parts: tuple[Case, ...] = ()
    in_optax: bool = True

    def make(self, kind: str = "jopt") -> Any:
        """The value (``kind="jopt"``) or Optax's transformation (``kind="optax"``)."""
        parts = [part.make(kind) for part in self.parts]
        if self.factory == "named_chain":
            parts = [(part.name, made) for part, made in zip(self.parts, parts, strict=True)]
        if self.factory == "partition":
            parts = [dict(enumerate(parts))]
        return getattr(ROOMS[kind], self.factory)(*parts, **convert(self.kwargs, kind))

    def reference(self, number: Any = float, **known: Any) -> Any:
        """The NumPy loop, its numbers rounded by ``number``.

        ``known`` is what a chain tells its parts: a plateau bounds the chain's learning rate.
        """
        rates = [r for p in self.parts if isinstance(r := p.kwargs.get("learning_rate"), float)]
        shared = {"learning_rate": number(rates[0])} if rates else {}
        parts = [part.reference(number, **(shared if part.name == "plateau" else {})) for part in self.parts]
        return getattr(LOOPS, self.factory)(*parts, **convert(self.kwargs, "reference", number), **known)


def _case(name: str, factory: str, in_optax: bool = True, **kwargs: Any) -> Case:
    return Case(name, factory, kwargs, in_optax=in_optax)


_PER_BRANCH = {"a": 0.1, "b": 0.01, "c": 0.2}
_MASK = {"a": True, "b": False, "c": True}
# A second moment near the squared mean cancels, and ε must cover the rounding that is left: see test_rules.
_COVERED = {"centered": True, "bias_correction": True, "eps": 1.0}


def matrices_only(params: Any) -> Any:
    """A weight-decay mask: the leaves of two or more dimensions."""
    return jax.tree.map(lambda p: np.ndim(p) > 1, params)


OPTIMIZERS = [
    _case("sgd", "sgd", learning_rate=0.1),
    _case("sgd_momentum", "sgd", learning_rate=0.1, momentum=0.9),
    _case("sgd_nesterov", "sgd", learning_rate=0.1, momentum=0.8, nesterov=True),
    _case("sgd_schedule", "sgd", learning_rate=BY_NAME["warmup_cosine"], momentum=0.9),
    _case("sgd_per_branch", "sgd", False, learning_rate=_PER_BRANCH, momentum=0.9),
    _case(
        "sgd_schedule_per_branch",
        "sgd",
        False,
        learning_rate={"a": 0.1, "b": BY_NAME["exponential"], "c": BY_NAME["cosine"]},
    ),
    _case("sgd_momentum_schedule", "sgd", False, learning_rate=0.1, momentum=BY_NAME["polynomial"]),
    _case("sgd_accumulator", "sgd", learning_rate=0.1, momentum=0.9, accumulator_dtype=jnp.float32),
    _case("sgd_dampening", "sgd", False, learning_rate=0.1, momentum=0.9, dampening=0.3),
    _case("sgd_dampening_nesterov", "sgd", False, learning_rate=BY_NAME["linear"], momentum=0.8, nesterov=True, dampening=0.8),
    _case("momentum", "momentum", False, learning_rate=0.1),
    _case("momentum_nesterov", "momentum", False, learning_rate=0.1, momentum=0.8, nesterov=True),
    _case("momentum_schedule", "momentum", False, learning_rate=BY_NAME["piecewise"]),
    _case("rmsprop", "rmsprop", learning_rate=0.01),
    _case("rmsprop_eps_outside", "rmsprop", learning_rate=0.01, decay=0.99, eps_in_sqrt=False),
    _case("rmsprop_centered", "rmsprop", learning_rate=0.01, centered=True),
    _case(
        "rmsprop_centered_eps_outside",
        "rmsprop",
        learning_rate=0.01,
        centered=True,
        eps_in_sqrt=False,
        momentum=0.5,
    ),
    _case("rmsprop_momentum", "rmsprop", learning_rate=0.01, momentum=0.9),
    _case("rmsprop_nesterov", "rmsprop", learning_rate=0.01, momentum=0.9, nesterov=True),
    _case("rmsprop_initial_scale", "rmsprop", learning_rate=0.01, initial_scale=1.0, eps=1e-3),
    _case("rmsprop_corrected", "rmsprop", learning_rate=0.01, bias_correction=True),
    _case("rmsprop_centered_corrected", "rmsprop", learning_rate=0.01, **_COVERED),
    _case("rmsprop_schedule", "rmsprop", learning_rate=BY_NAME["linear"], momentum=0.9),
    _case("rmsprop_per_branch", "rmsprop", False, learning_rate=0.01, decay=_PER_BRANCH),
    _case("rmsprop_rate_outside", "rmsprop", False, learning_rate=BY_NAME["piecewise"], momentum=0.9, rate_inside=False),
    _case(
        "rmsprop_rate_outside_nesterov",
        "rmsprop",
        False,
        learning_rate=0.01,
        decay=0.99,
        eps_in_sqrt=False,
        centered=True,
        momentum=0.5,
        nesterov=True,
        rate_inside=False,
    ),
    _case("adam", "adam", learning_rate=1e-2),
    _case("adam_nesterov", "adam", learning_rate=1e-2, b1=0.8, nesterov=True),
    _case("adam_eps_root", "adam", learning_rate=1e-2, eps=1e-3, eps_root=1e-4),
    _case("adam_b1_zero", "adam", learning_rate=1e-2, b1=0.0, b2=0.9),
    _case("adam_slow_b2", "adam", learning_rate=1e-2, b2=0.9999, eps=1e-6),
    _case("adam_mu_dtype", "adam", learning_rate=1e-2, mu_dtype=jnp.float32),
    _case("adam_schedule", "adam", learning_rate=BY_NAME["join"]),
    _case("adam_b1_schedule", "adam", False, learning_rate=1e-2, b1=BY_NAME["linear_from_100"]),
    _case("adam_per_branch", "adam", False, learning_rate=_PER_BRANCH, eps=_PER_BRANCH),
    _case("adamw", "adamw", learning_rate=1e-2, weight_decay=0.1),
    _case("adamw_nesterov", "adamw", learning_rate=1e-2, weight_decay=0.1, nesterov=True),
    _case("adamw_mask", "adamw", learning_rate=1e-2, weight_decay=0.1, mask=_MASK),
    _case("adamw_mask_function", "adamw", learning_rate=1e-2, weight_decay=0.1, mask=matrices_only),
    _case("adamw_decoupled", "adamw", False, learning_rate=1e-2, weight_decay=1e-3, decoupled=True),
    _case(
        "adamw_decoupled_schedule",
        "adamw",
        False,
        learning_rate=BY_NAME["cosine"],
        weight_decay=BY_NAME["cosine_to_an_end"],
        mask=_MASK,
        decoupled=True,
    ),
    _case("adamw_decay_per_branch", "adamw", False, learning_rate=1e-2, weight_decay=_PER_BRANCH),
    _case("nadam", "nadam", learning_rate=1e-2),
    _case("nadam_other_numbers", "nadam", learning_rate=1e-2, b1=0.8, b2=0.95, eps=1e-3, eps_root=1e-4),
    _case("nadam_warmed_up", "nadam", False, learning_rate=1e-2, momentum_decay=0.004),
    _case("nadam_warmed_up_fast", "nadam", False, learning_rate=1e-2, b1=_PER_BRANCH, eps_root=1e-4, momentum_decay=1.0),
    _case("nadamw", "nadamw", learning_rate=1e-2, weight_decay=0.1),
    _case("nadamw_warmed_up", "nadamw", False, learning_rate=1e-2, weight_decay=0.1, mask=_MASK, momentum_decay=0.004),
    _case("nadamw_decoupled", "nadamw", False, learning_rate=1e-2, weight_decay=1e-3, decoupled=True),
    _case("amsgrad", "amsgrad", learning_rate=1e-2, b2=0.9),
    _case("amsgrad_of_the_paper", "amsgrad", learning_rate=1e-2, bias_correction_mu=False, bias_correction_nu=False),
    _case("amsgrad_max_before", "amsgrad", False, learning_rate=1e-2, b2=0.9, eps_root=1e-4, max_before_correction=True),
    _case("adamax", "adamax", learning_rate=1e-2, b2=0.9),
    _case("adamax_schedule", "adamax", learning_rate=BY_NAME["linear"], eps=1e-2),
    _case("adamaxw", "adamaxw", learning_rate=1e-2, weight_decay=0.1, mask=matrices_only),
    _case("adamaxw_decoupled", "adamaxw", False, learning_rate=1e-2, weight_decay=1e-3, decoupled=True),
    _case("radam", "radam", learning_rate=1e-2),
    _case("radam_nesterov", "radam", learning_rate=1e-2, b1=0.8, nesterov=True),
    # Optax's ρ has no digits left here in float32.
    _case("radam_slow_b2", "radam", False, learning_rate=1e-2, b2=0.9999, eps_root=1e-6),
    _case("radam_never", "radam", learning_rate=1e-2, b2=0.5, threshold=4.0),
    _case("adagrad", "adagrad", learning_rate=0.1),
    _case("adagrad_from_nothing", "adagrad", learning_rate=0.1, initial_accumulator_value=0.0, eps=1e-3),
    _case("adagrad_eps_outside", "adagrad", False, learning_rate=_PER_BRANCH, eps=1e-2, eps_in_sqrt=False),
    _case("adadelta", "adadelta", learning_rate=1.0),
    _case("adadelta_decay", "adadelta", learning_rate=0.5, rho=0.95, eps=1e-3, weight_decay=0.1, weight_decay_mask=_MASK),
    _case("adadelta_decoupled", "adadelta", False, learning_rate=0.5, weight_decay=1e-3, decoupled=True),
    _case("rprop", "rprop", False, learning_rate=1e-2),
    _case(
        "rprop_bounded",
        "rprop",
        False,
        learning_rate=1e-2,
        eta_minus=0.7,
        eta_plus=1.5,
        min_step_size=5e-3,
        max_step_size=0.03,
    ),
    _case("rprop_per_branch", "rprop", False, learning_rate=_PER_BRANCH),
]

OPTIMIZERS += [
    _case("qhm", "qhm", False, learning_rate=0.1),
    _case("qhm_decay", "qhm", False, learning_rate=BY_NAME["linear"], momentum=0.9, nu=0.5, weight_decay=0.1, mask=_MASK),
    _case("qhm_decoupled", "qhm", False, learning_rate=0.1, momentum=0.9, weight_decay=1e-3, decoupled=True),
    _case("qhadam", "qhadam", False, learning_rate=1e-2),
    _case("qhadam_mixed_squares", "qhadam", False, learning_rate=1e-2, b1=0.9, nu1=0.8, nu2=0.6, eps=1e-6),
    _case("qhadam_decay", "qhadam", False, learning_rate=_PER_BRANCH, weight_decay=0.1, mask=matrices_only),
    _case("aggmo", "aggmo", False, learning_rate=0.1),
    _case("aggmo_two_with_decay", "aggmo", False, learning_rate=0.1, betas=(0.5, 0.95), weight_decay=0.01),
    _case("adabelief", "adabelief", learning_rate=1e-2),
    _case("adabelief_nesterov", "adabelief", learning_rate=1e-2, b1=0.8, eps=1e-8, eps_root=1e-6, nesterov=True),
    _case(
        "adabelief_decoupled",
        "adabelief",
        False,
        learning_rate=BY_NAME["cosine"],
        weight_decay=BY_NAME["cosine_to_an_end"],
        mask=_MASK,
        decoupled=True,
    ),
    _case("lamb", "lamb", learning_rate=1e-2),
    _case("lamb_decay", "lamb", learning_rate=BY_NAME["linear"], eps_root=1e-4, weight_decay=0.1, mask=_MASK),
    _case("lamb_decoupled", "lamb", False, learning_rate=1e-2, weight_decay=1e-3, mask=_MASK, decoupled=True),
    _case("lars", "lars", learning_rate=0.1),
    _case(
        "lars_masks",
        "lars",
        learning_rate=BY_NAME["linear"],
        weight_decay=0.1,
        weight_decay_mask=_MASK,
        trust_coefficient=0.01,
        eps=1e-3,
        trust_ratio_mask=matrices_only,
        momentum=0.8,
        nesterov=True,
    ),
    _case(
        "lars_decoupled",
        "lars",
        False,
        learning_rate=0.1,
        weight_decay=1e-4,
        weight_decay_mask=_MASK,
        trust_coefficient=0.01,
        decoupled=True,
    ),
    # Not Optax's in float64: it takes the decay rate in float32. tests/modern_oracles.py compares the two.
    _case("adafactor", "adafactor", False, learning_rate=0.1),
    _case(
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
        weight_decay_mask=_MASK,
        eps=1e-6,
        min_scale=0.5,
    ),
    _case(
        "adafactor_bare",
        "adafactor",
        False,
        learning_rate=0.1,
        multiply_by_parameter_scale=False,
        clipping_threshold=None,
        factored=False,
    ),
    _case("lion", "lion", learning_rate=1e-2),
    _case("lion_decay", "lion", learning_rate=BY_NAME["linear"], b1=0.95, b2=0.98, weight_decay=0.1, mask=matrices_only),
    _case("lion_decoupled", "lion", False, learning_rate=_PER_BRANCH, weight_decay=1e-3, decoupled=True),
    _case("sign_sgd", "sign_sgd", learning_rate=0.01),
    _case("sign_sgd_decay", "sign_sgd", False, learning_rate=BY_NAME["linear"], weight_decay=0.1, mask=_MASK),
    _case("signum", "signum", learning_rate=0.01),
    _case("signum_decoupled", "signum", False, learning_rate=0.01, beta=0.8, weight_decay=1e-3, decoupled=True),
    _case("adan", "adan", False, learning_rate=1e-2),
    _case("adan_decay", "adan", False, learning_rate=1e-2, b1=0.9, b2=0.8, b3=0.95, eps=1e-4, weight_decay=0.1, mask=_MASK),
    _case(
        "adan_look_ahead", "adan", False, learning_rate=BY_NAME["linear"], look_ahead=0.08, weight_decay=1e-3, decoupled=True
    ),
]

# Rules on matrices
OPTIMIZERS += [
    _case("muon", "muon", False, learning_rate=0.02),
    _case(
        "muon_decay",
        "muon",
        False,
        learning_rate=BY_NAME["linear"],
        ns_coeffs="polar_express",
        ns_steps=2,
        beta=0.8,
        eps=1e-2,
        weight_decay=0.1,
        weight_decay_mask=_MASK,
        adjust="match_rms_adamw",
        adam_b1=0.8,
        adam_eps=1e-3,
        adam_eps_root=1e-4,
        adam_weight_decay=0.05,
        adam_learning_rate=1e-2,
    ),
    _case(
        "muon_decoupled",
        "muon",
        False,
        learning_rate=_PER_BRANCH,
        ns_coeffs=((3.0, -3.0, 1.0), (1.5, -0.5, 0.0)),
        ns_steps=3,
        nesterov=False,
        outputs="columns",
        weight_decay=1e-3,
        decoupled=True,
    ),
    _case("normuon", "normuon", False, learning_rate=0.02),
    _case(
        "normuon_decay",
        "normuon",
        False,
        learning_rate=BY_NAME["cosine"],
        ns_coeffs="polar_express",
        ns_steps=2,
        beta=_PER_BRANCH,
        b2=0.8,
        eps=1e-3,
        weight_decay=0.1,
        outputs="columns",
        adam_b2=0.99,
        adam_learning_rate=BY_NAME["linear"],
    ),
]

OPTIMIZERS += [  # that keep matrices: soap_reference.py
    _case("soap", "soap", False, learning_rate=1e-2),
    _case(
        "soap_other_numbers",
        "soap",
        False,
        learning_rate=BY_NAME["linear"],
        b1=0.9,
        b2=0.99,
        shampoo_beta=0.8,
        eps=1e-3,
        weight_decay=0.1,
        mask=_MASK,
        precondition_frequency=3,
        normalize_grads=True,
    ),
    _case("soap_one_side", "soap", False, learning_rate=_PER_BRANCH, weight_decay=1e-3, max_precond_dim=2, decoupled=True),
    _case("shampoo", "shampoo", False, learning_rate=1e-2),
    _case(
        "shampoo_blocks",
        "shampoo",
        False,
        learning_rate=BY_NAME["linear"],
        b1=0.8,
        b2=0.9,
        eps=1e-6,
        weight_decay=0.1,
        mask=_MASK,
        precondition_frequency=3,
        start=5,
        block_size=2,
        adam_b2=0.99,
        adam_eps=1e-4,
    ),
    _case(
        "shampoo_of_the_paper",
        "shampoo",
        False,
        learning_rate=_PER_BRANCH,
        b1=0.0,
        b2=1.0,
        eps=1e-2,
        weight_decay=1e-3,
        precondition_frequency=1,
        graft=None,
        decoupled=True,
    ),
    _case("psgd_kron", "psgd_kron", False, learning_rate=1e-2),
    _case(
        "psgd_kron_seldom",
        "psgd_kron",
        False,
        learning_rate=BY_NAME["linear"],
        b1=0.8,
        weight_decay=0.1,
        mask=_MASK,
        preconditioner_update_probability=0.3,
        precond_lr=0.2,
        precond_init_scale=0.5,
        memory_save_mode="smart_one_diag",
        seed=3,
        momentum_into_precond_update=False,
    ),
    _case(
        "psgd_kron_diagonal",
        "psgd_kron",
        False,
        learning_rate=_PER_BRANCH,
        weight_decay=1e-3,
        preconditioner_update_probability=BY_NAME["linear"],
        memory_save_mode="all_diag",
        decoupled=True,
    ),
]

OPTIMIZERS += [
    _case(
        "ademamix_warmed_up",
        "ademamix",
        False,
        learning_rate=_PER_BRANCH,
        b1=0.8,
        b3=0.99,
        alpha=2.0,
        weight_decay=1e-3,
        warmup_steps=150,
        decoupled=True,
    ),
    _case(
        "ademamix_schedules",
        "ademamix",
        False,
        learning_rate=BY_NAME["linear"],
        b3=BY_NAME["linear_from_100"],
        alpha=BY_NAME["polynomial"],
        eps=1e-3,
        eps_root=1e-4,
        weight_decay=0.1,
        mask=_MASK,
    ),
    _case("mars", "mars", False, learning_rate=1e-2),
    _case(
        "mars_decay",
        "mars",
        False,
        learning_rate=BY_NAME["linear"],
        b1=0.9,
        b2=0.95,
        gamma=0.1,
        max_norm=2.0,
        weight_decay=0.2,
        mask=_MASK,
        learning_rate_1d=0.03,
        b1_1d=0.8,
        weight_decay_1d=0.3,
    ),
    # Gradients that no parameter follows from let Prodigy's rate grow without end, unless it begins large.
    _case(
        "prodigy_decay",
        "prodigy",
        False,
        learning_rate=BY_NAME["cosine"],
        betas=(0.8, 0.95),
        beta3=0.9,
        eps=1e-4,
        estim_lr0=0.3,
        estim_lr_coef=1.5,
        weight_decay=0.1,
        bias_correction=True,
    ),
    _case(
        "prodigy_safeguard",
        "prodigy",
        False,
        learning_rate=BY_NAME["linear_from_100"],
        betas=(0.9, 0.999),
        estim_lr0=0.3,
        estim_lr_coef=2.0,
        safeguard_warmup=True,
    ),
    _case("schedule_free_sgd", "schedule_free_sgd", False, warmup_steps=30, b1=0.7, weight_decay=0.05),
    _case(
        "schedule_free_adamw",
        "schedule_free_adamw",
        False,
        learning_rate=BY_NAME["linear_from_100"],
        warmup_steps=3,
        b1=0.0,
        eps=1e-3,
        weight_decay=0.1,
        weight_lr_power=1.5,
    ),
]

BLOCKS = [
    _case("identity", "identity"),
    _case("scale", "scale", step_size=-0.1),
    _case("scale_per_branch", "scale", False, step_size=_PER_BRANCH),
    _case("scale_by_learning_rate", "scale_by_learning_rate", learning_rate=0.1),
    _case("scale_up", "scale_by_learning_rate", learning_rate=0.1, flip_sign=False),
    _case("scale_by_rate_schedule", "scale_by_learning_rate", learning_rate=BY_NAME["linear"]),
    _case("scale_by_schedule", "scale_by_schedule", step_size_fn=BY_NAME["exponential"]),
    _case("trace", "trace", decay=0.9),
    _case("trace_nesterov", "trace", decay=0.9, nesterov=True),
    _case("clip", "clip", max_delta=0.5),
    _case("clip_per_branch", "clip", False, max_delta=_PER_BRANCH),
    _case("clip_by_global_norm", "clip_by_global_norm", max_norm=3.0),
    _case("add_decayed_weights", "add_decayed_weights", weight_decay=0.01),
    _case("add_decayed_weights_mask", "add_decayed_weights", weight_decay=0.01, mask=_MASK),
    _case("scale_by_adam", "scale_by_adam", b1=0.7),
    _case("scale_by_adam_nesterov", "scale_by_adam", nesterov=True),
    _case("scale_by_rms", "scale_by_rms", decay=0.8),
    _case("scale_by_rms_corrected", "scale_by_rms", eps_in_sqrt=False, bias_correction=True),
    _case("scale_by_stddev", "scale_by_stddev", eps=1e-4),
    _case("scale_by_stddev_corrected", "scale_by_stddev", bias_correction=True, eps=1.0),
    _case("trace_dampening", "trace", False, decay=0.9, dampening=0.5),
    _case("trace_dampening_nesterov", "trace", False, decay=0.9, dampening=0.5, nesterov=True),
    _case("scale_by_nadam", "scale_by_nadam", False, momentum_decay=0.01),
    _case("scale_by_amsgrad", "scale_by_amsgrad", b2=0.99),
    _case("scale_by_adamax", "scale_by_adamax"),
    _case("scale_by_radam", "scale_by_radam", b2=0.99),
    _case("scale_by_rss", "scale_by_rss"),
    _case("scale_by_adadelta", "scale_by_adadelta", rho=0.8),
    _case("scale_by_rprop", "scale_by_rprop", False, learning_rate=0.1),
    _case("plateau", "reduce_on_plateau", False, factor=0.5, patience=6, rtol=0.01),
    _case(
        "plateau_max",
        "reduce_on_plateau",
        False,
        patience=20,
        cooldown=5,
        atol=0.125,
        rtol=0.0,
        min_lr=0.05,
        mode="max",
        monitor="accuracy",
    ),
    Case(
        "chain_clip_adam",
        "chain",
        parts=(
            _case("clip", "clip_by_global_norm", max_norm=1.0),
            _case("adam", "adam", learning_rate=1e-2),
        ),
    ),
    Case(
        "chain_sgd_plateau",
        "chain",
        parts=(
            _case("sgd", "sgd", learning_rate=0.5, momentum=0.5),
            _case("plateau", "reduce_on_plateau", False, patience=2, min_lr=0.01),
        ),
        in_optax=False,
    ),
    Case(
        "named_chain",
        "named_chain",
        parts=(
            _case("decay", "add_decayed_weights", weight_decay=0.01),
            _case("clip", "clip", max_delta=1.0),
            _case("step", "momentum", learning_rate=0.1),
        ),
        in_optax=False,
    ),
    Case("flatten_adam", "flatten", parts=(_case("adam", "adam", learning_rate=1e-2),)),
    Case(
        "flatten_chain",
        "flatten",
        parts=(
            Case(
                "chain",
                "chain",
                parts=(
                    _case("clip", "clip_by_global_norm", max_norm=1.0),
                    _case("adamw", "adamw", learning_rate=BY_NAME["linear"], weight_decay=0.1),
                ),
            ),
        ),
    ),
]


def _downhill(name: str, factory: str, in_optax: bool = True, **kwargs: Any) -> Case:
    """A block whose updates grow with the parameters, as small steps downhill: by itself it would let them explode."""
    parts = (_case(factory, factory, in_optax, **kwargs), _case("scale", "scale", step_size=-0.01))
    return Case(name, "chain", parts=parts, in_optax=in_optax)


BLOCKS += [
    _case("ema", "ema", decay=0.9),
    _case("ema_biased", "ema", decay=0.7, debias=False),
    _case("clip_by_block_rms", "clip_by_block_rms", threshold=0.5),
    _downhill("scale_by_param_block_rms", "scale_by_param_block_rms", min_scale=0.5),
    _downhill("scale_by_trust_ratio", "scale_by_trust_ratio"),
    _downhill("scale_by_trust_ratio_bounded", "scale_by_trust_ratio", min_norm=0.7, trust_coefficient=0.1, eps=0.01),
    _downhill("scale_by_trust_ratio_mask", "scale_by_trust_ratio", False, mask=_MASK),
    _case("scale_by_qhm", "scale_by_qhm", False, momentum=0.8, nu=0.3),
    _case("scale_by_qhadam", "scale_by_qhadam", False, nu2=0.5),
    _case("scale_by_aggmo", "scale_by_aggmo", False),
    _case("scale_by_belief", "scale_by_belief", b1=0.7),
    _case("scale_by_factored_rms", "scale_by_factored_rms", False),
    _case("scale_by_factored_rms_offset", "scale_by_factored_rms", False, min_dim_size_to_factor=1, step_offset=5),
    _case("scale_by_lion", "scale_by_lion", b1=0.7),
    _case("scale_by_lion_smooth", "scale_by_lion", mode="smooth", smooth_beta=2.0),
    _case("scale_by_lion_refined", "scale_by_lion", b1=0.5, mode="refined"),
    _case("scale_by_sign", "scale_by_sign"),
    _case("scale_by_adan", "scale_by_adan", False, b2=0.5, eps_root=1e-3),
]


def _of_matrices(name: str, *parts: Case) -> Case:
    """Blocks for matrices, in their place."""
    chained, scaled = Case("chain", "chain", parts=parts, in_optax=False), _case("scale", "scale", step_size=-0.01)
    return Case(name, "matrixwise", {"mask": matrices_only}, (chained, scaled), in_optax=False)


BLOCKS += [
    _case("ema_nesterov", "ema", False, decay=0.9, nesterov=True),
    _case("ema_nesterov_biased", "ema", False, decay=0.7, debias=False, nesterov=True),
    _of_matrices(
        "orthogonalize",
        _case("orthogonalize", "orthogonalize", ns_coeffs="polar_express", ns_steps=2, eps=0.1),
        _case("scale_by_shape", "scale_by_shape", adjust="match_rms_adamw"),
    ),
    _of_matrices(
        "scale_by_muon",
        _case("scale_by_muon", "scale_by_muon", ns_coeffs=(1.875, -1.25, 0.375), ns_steps=3),
        _case("orthogonalize", "orthogonalize", ns_steps=2),
        _case("normalize_neurons", "normalize_neurons", b2=0.9, eps=1e-3),
        _case("scale_by_shape", "scale_by_shape", outputs="columns"),
    ),
]

BLOCKS += [
    _case("scale_by_soap", "scale_by_soap", False, b1=0.8, precondition_frequency=2),
    _case("scale_by_shampoo", "scale_by_shampoo", False, b2=0.9, eps=0.1, precondition_frequency=2, start=1),
    _case("scale_by_kron", "scale_by_kron", False, max_size_triangular=2, seed=1),
    _case("scale_by_kron_of_vectors", "scale_by_kron", False, vectors=True),
]

BLOCKS += [
    _case("add_cautious_weight_decay", "add_cautious_weight_decay", False, weight_decay=0.1, mask=_MASK),
    _case("correct_by_mars", "correct_by_mars", False, b1=0.6, gamma=0.2, max_norm=2.0),
]

# Around other rules: a part of the tree, some of the steps.
WRAPPERS = [
    _case("set_to_zero", "set_to_zero", False),  # Optax has it, but no update to measure a difference by
    _case("freeze", "freeze", mask=_MASK),
    Case("masked", "masked", {"mask": _MASK}, (_case("adam", "adam", learning_rate=1e-2),)),
    Case("masked_by_a_function", "masked", {"mask": matrices_only}, (_case("trace", "trace", decay=0.9),)),
    Case(
        "partition",
        "partition",
        {"param_labels": {"a": 0, "b": 1, "c": 0}},
        (_case("adam", "adam", learning_rate=1e-2), _case("sgd", "sgd", learning_rate=BY_NAME["linear"], momentum=0.9)),
    ),
    Case("apply_if_finite", "apply_if_finite", {"max_consecutive_errors": 3}, (_case("adam", "adam", learning_rate=1e-2),)),
    Case("accumulate", "accumulate", {"every": 3}, (_case("adam", "adam", learning_rate=1e-2),), in_optax=False),
    Case(
        "accumulate_sum",
        "accumulate",
        {"every": 4, "reduction": "sum"},
        (_case("sgd", "sgd", learning_rate=0.1, momentum=0.9),),
        in_optax=False,
    ),
    Case(
        "matrixwise",
        "matrixwise",
        {"mask": matrices_only},
        (_case("adam", "adam", learning_rate=1e-2), _case("momentum", "momentum", learning_rate=0.1)),
        in_optax=False,
    ),
    Case("kahan", "kahan", parts=(_case("sgd", "sgd", learning_rate=0.1, momentum=0.9),), in_optax=False),
    Case("master_weights", "master_weights", parts=(_case("adamw", "adamw", learning_rate=1e-2),), in_optax=False),
    Case(
        "stochastic_rounding",
        "stochastic_rounding",
        {"seed": 3},
        (_case("sgd", "sgd", learning_rate=BY_NAME["linear"], momentum=0.9),),
        in_optax=False,
    ),
    # Around a rule without float32 arrays in its state, since the loops know of no rounding: test_low_precision has others.
    Case("bfloat16_states", "bfloat16_states", {"seed": 3}, (_case("sgd", "sgd", learning_rate=0.1),), in_optax=False),
]

WRAPPERS += [
    Case(
        "schedule_free",
        "schedule_free",
        {"learning_rate": BY_NAME["linear_from_100"], "b1": 0.2, "weight_lr_power": 1.0},
        (_case("sgd", "sgd", learning_rate=1.0),),
        in_optax=False,
    ),
    Case(
        "hyperball",
        "hyperball",
        {"learning_rate": BY_NAME["linear_from_100"]},
        (_case("adam", "adam", learning_rate=1e-2),),
        in_optax=False,
    ),
    Case("parameter_ema", "parameter_ema", {"decay": 0.9}, (_case("adam", "adam", learning_rate=1e-2),), in_optax=False),
    Case("tail_average", "tail_average", {"start": 3}, (_case("sgd", "sgd", learning_rate=0.1),), in_optax=False),
]

CASES = OPTIMIZERS + BLOCKS + WRAPPERS


def name_of(case: Any) -> str:
    """The id of a case in the names of tests."""
    return str(case.name)


# A dict of three branches, so that every case with one number per branch fits.
SHAPES = {
    "a": {"w": (3, 2), "none": None},
    "b": [(), [], (0, 3)],
    "c": ((5,), {}),
}


def tree_like(shapes: Any, seed: int, steps: int | None = None, dtype: Any = np.float32) -> Any:
    """Normal numbers in the shapes of a tree, each after a leading axis of ``steps`` where it is given.

    They are float32 numbers in every type of 32 or more bits, so that runs of different precision see the same ones.
    """
    rng = np.random.default_rng(seed)
    lead = () if steps is None else (steps,)
    complex_ = np.issubdtype(dtype, np.complexfloating)

    def draw(shape: tuple[int, ...]) -> np.ndarray:
        parts = rng.normal(size=(2, *lead, *shape)).astype(np.float32)
        return np.asarray(parts[0] + 1j * parts[1] if complex_ else parts[0]).astype(dtype)

    return jax.tree.map(draw, shapes, is_leaf=is_shape)


def is_shape(x: Any) -> bool:
    return isinstance(x, tuple) and all(isinstance(n, int) for n in x)


def extras(steps: int, seed: int = 0) -> dict[str, Any]:
    """Extra arguments for each of ``steps`` updates: what the plateau needs, and one that nobody knows.

    The values lie on a grid, so that no threshold is met by rounding.
    """
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 24, size=steps)
    value = (np.maximum(40 - np.arange(steps), 0) + noise) / 8 - 2
    return {
        "value": value.astype(np.float32),
        "metrics": {"accuracy": (-value).astype(np.float32)},
        "evaluated": np.arange(steps) % 3 != 1,
        "nobody_knows_this": np.zeros(steps, np.float32),
    }


def train(opt: Any, params: Any, grads: Any, seen: Any) -> tuple[Any, Any]:
    """The updates of ``opt`` along ``grads``, stacked, and the last state; a scan, so the state must be a fixed point."""

    def step(carry: Any, now: Any) -> Any:
        params, state = carry
        g, extra = now
        updates, state = opt.update(g, state, params, **extra)
        return (jopt.apply_updates(params, updates), state), updates

    (_, state), updates = jax.lax.scan(step, (params, opt.init(params)), (grads, seen))
    return updates, state


run = jax.jit(train)  # the optimizer is an argument: equal structures share one program


def one_of_each(cases: list[Case]) -> list[Case]:
    """A row of each rule, and all chains; what others' code makes of a rule depends little on settings. JOPT_TESTS=all: all."""
    if os.environ.get("JOPT_TESTS") == "all":
        return cases
    return list({case.name if case.parts else case.factory: case for case in reversed(cases)}.values())[::-1]


def run_optax(opt: Any, params: Any, grads: Any, seen: Any) -> tuple[Any, Any]:
    """``run`` for a pair of closures."""
    wrapped = optax.with_extra_args_support(opt)
    return jax.jit(functools.partial(train, wrapped))(params, grads, seen)


def run_reference(case: Case, params: Any, grads: Any, seen: Any, number: Any = float) -> np.ndarray:
    """The updates of the NumPy loop, [steps, elements]."""
    step, p, rows = case.reference(number), _widened(params), []
    steps = len(seen["value"])
    for t in range(1, steps + 1):
        g, now = (jax.tree.map(lambda x, t=t: x[t - 1], tree) for tree in (grads, seen))
        updates = step(t, _widened(g), p, now)
        rows.append(ravel(updates))
        p = jax.tree.map(lambda x, u: x + u, p, updates)
    return np.stack(rows)


def _widened(tree: Any) -> Any:
    """The tree in float64, or complex128."""
    return jax.tree.map(lambda x: np.asarray(x, np.complex128 if np.iscomplexobj(x) else np.float64), tree)


def stacked(updates: Any, steps: int) -> np.ndarray:
    """A tree of updates with a leading step axis as one matrix [steps, elements]."""
    columns = [np.asarray(x).reshape(steps, -1) for x in jax.tree.leaves(updates)]
    return np.concatenate([np.zeros((steps, 0)), *columns], axis=1)
