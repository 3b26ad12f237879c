"""Muon: momentum whose matrices are made orthogonal."""

from __future__ import annotations

from typing import Any

from jopt.optimizers.adam import adamw
from jopt.transformation import transformation
from jopt.transforms import chain, ema, matrixwise, orthogonalize, scale_by_shape
from jopt.transforms.descent import descent
from jopt.transforms.masking import with_mask
from jopt.values.numbers import Numeric, ScalarOrSchedule

STATIC = ("ns_coeffs", "ns_steps", "columns", "stacked", "matrices")
RATES = ("learning_rate", "adam_learning_rate")
DECAYS = ("weight_decay", "adam_weight_decay")
_DOMAIN = {"beta": "[0, 1)", "eps": "[0, inf)"}
ALIAS_DOMAIN = {
    **_DOMAIN,
    **dict.fromkeys((*RATES, *DECAYS, "adam_eps", "adam_eps_root"), "[0, inf)"),
    **dict.fromkeys(("adam_b1", "adam_b2"), "[0, 1)"),
}


@transformation(wide=True, static=("ns_coeffs", "ns_steps"), checked=False, domain=_DOMAIN)
def scale_by_muon(
    ns_coeffs: Any = "standard",
    ns_steps: int = 5,
    beta: Numeric = 0.95,
    eps: Numeric = 1e-7,
    mu_dtype: Any = None,
    *,
    nesterov: bool = True,
    ns_dtype: Any = None,
) -> Any:
    """Replaces the updates, which are matrices, by an orthogonal matrix near their mean.

    ``m' = β m + (1 − β) g``; ``u = orthogonal(β m' + (1 − β) g)``, or of m' without ``nesterov``, where ``orthogonal`` is
    ``jopt.orthogonalize``.

    Args:
      ns_coeffs: The coefficients of the iteration, as ``jopt.orthogonalize`` has them: "standard", "polar_express", or
        numbers. Structure.
      ns_steps: The steps of the iteration; structure.
      beta: β in [0, 1).
      eps: ε, at least 0, the least norm that a matrix is divided by before the iteration.
      mu_dtype: The type of m; by default the parameter's own, at least float32.
      nesterov: Whether to look one step ahead.
      ns_dtype: The type of the iteration; by default float32 or wider.

    Returns:
      The transformation, a chain of ``jopt.ema`` and ``jopt.orthogonalize`` with the states of these. It takes matrices, and
      stacks of them: ``jopt.matrixwise`` makes them of other leaves.

    Raises:
      ValueError: For a number out of its range, coefficients that are none, and from ``update`` for a leaf with fewer than two
        axes.

    Differs from:
      ``optax.contrib.scale_by_muon`` divides m' and g by the sums of their weights, which turns the direction of the first
      steps; that is ``jopt.chain(jopt.ema(0.95, nesterov=True), jopt.orthogonalize(eps=1e-8))``. It adds ε to the norm,
      takes leaves apart by ``weight_dimension_numbers``, and has ``adaptive`` and ``preconditioning``.

    Reference:
      Jordan et al., 2024, "Muon: An optimizer for hidden layers in neural networks".

    Example:
      >>> rule = jopt.scale_by_muon("polar_express", 10)
      >>> g = jnp.array([[3.0, 0.0], [0.0, 0.5]])
      >>> rule.update(g, rule.init(g))[0].round(4)
      Array([[1., 0.],
             [0., 1.]], dtype=float32)
    """
    mean = ema(beta, debias=False, accumulator_dtype=mu_dtype, nesterov=nesterov)
    return chain(mean, orthogonalize(ns_coeffs, ns_steps, eps, ns_dtype=ns_dtype))


@transformation(wide=True, static=STATIC, schedules=DECAYS, evaluates=RATES, domain=ALIAS_DOMAIN)
def muon(
    learning_rate: ScalarOrSchedule,
    ns_coeffs: Any = "standard",
    ns_steps: int = 5,
    beta: Numeric = 0.95,
    eps: Numeric = 1e-7,
    weight_decay: ScalarOrSchedule = 0.0,
    weight_decay_mask: Any = None,
    mu_dtype: Any = None,
    *,
    nesterov: bool = True,
    adjust: str = "original",
    adam_b1: Numeric = 0.9,
    adam_b2: Numeric = 0.999,
    adam_eps: Numeric = 1e-8,
    adam_eps_root: Numeric = 0.0,
    adam_weight_decay: ScalarOrSchedule = 0.0,
    adam_learning_rate: ScalarOrSchedule | None = None,
    columns: Any = 1,
    stacked: Any = 0,
    matrices: Any = None,
    outputs: str = "rows",
    ns_dtype: Any = None,
    decoupled: bool = False,
) -> Any:
    """Muon: matrices step by an orthogonal matrix near their mean gradient, all else as with AdamW.

    ``m' = β m + (1 − β) g``; ``o = orthogonal(β m' + (1 − β) g)``, or of m' without ``nesterov``;
    ``w' = w − α (s o + λ w)``, or ``w' = w − α s o − λ w`` with ``decoupled``. ``orthogonal`` makes all singular values about 1
    (``jopt.orthogonalize``); ``s = √max(1, outputs / inputs)`` ("original") or ``0.2 √max(inputs, outputs)``
    ("match_rms_adamw").

    Which leaves are matrices, and of which axes, is as in ``jopt.matrixwise``: all of two or more axes, the kernel
    [height, width, in, out] of a convolution as [height · width · in, out]. Embeddings and the last layer do better with AdamW;
    ``matrices`` hands them over. Matrices of one shape go through the iteration together.

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch. Some
        0.02 for "original", AdamW's for "match_rms_adamw".
      ns_coeffs: The coefficients of the iteration, as ``jopt.orthogonalize`` has them: "standard", "polar_express", or
        numbers. Structure.
      ns_steps: The steps of the iteration; structure.
      beta: β in [0, 1).
      eps: ε, at least 0, the least norm that a matrix is divided by before the iteration.
      weight_decay: λ of the matrices, at least 0: a number or a schedule.
      weight_decay_mask: A tree of bools, or a function from the parameters to one, saying which leaves decay, matrices or not.
      mu_dtype: The type of m, here and in AdamW; by default the parameter's own, at least float32.
      nesterov: Whether to look one step ahead.
      adjust: "original" or "match_rms_adamw", as ``jopt.scale_by_shape`` has it.
      adam_b1: AdamW's β₁ in [0, 1).
      adam_b2: AdamW's β₂ in [0, 1).
      adam_eps: AdamW's ε, at least 0.
      adam_eps_root: AdamW's ε_root, at least 0.
      adam_weight_decay: AdamW's λ, at least 0: a number or a schedule.
      adam_learning_rate: AdamW's rate, in the same forms as ``learning_rate``, which it is by default.
      columns: How many of a leaf's last axes are the columns of its matrix; 3 for PyTorch's [out, in, height, width].
      stacked: How many of a leaf's first axes are those of a stack of matrices.
      matrices: Which leaves may be matrices; by default all. A tree of bools, a prefix of one, or a function from the
        parameters to one.
      outputs: Where a matrix has its outputs: "rows" of [outputs, inputs], as the weights of PyTorch and Equinox are, or
        "columns" of [inputs, outputs]; give that for kernels of Flax, and wherever a layer is x @ w.
      ns_dtype: The type of the iteration; by default float32 or wider.
      decoupled: Whether both λ are not multiplied by the rates.

    Returns:
      The optimizer; its state is ``MatrixwiseState(matrix_state, other_state)``, and its ``update`` needs the parameters.

    Raises:
      ValueError: For a number out of its range, a name that is none of those above, and from ``init`` and ``update`` what
        ``jopt.matrixwise`` says about ``columns``, ``stacked`` and ``matrices``.

    Differs from:
      ``optax.contrib.muon`` divides m' and g by the sums of their weights, so its first steps have another direction; adds
      ε = 1e-8 to the norm, and AdamW's is the same number; hands ``nesterov`` to AdamW too; takes leaves of exactly two axes,
      and others by ``muon_weight_dimension_numbers``; writes "match_rms_adamw" ``consistent_rms=0.2``; and has ``adaptive`` and
      ``preconditioning``. Its outputs are in the columns. PyTorch casts to bfloat16 inside of the iteration, which is
      ``ns_dtype=jnp.bfloat16``, takes matrices only, and has λ = 0.1.

    Use when:
      Hidden layers are matrices: fewer steps than AdamW; tune both rates, and keep embeddings and head with AdamW.

    Reference:
      Jordan et al., 2024, "Muon: An optimizer for hidden layers in neural networks"; Liu et al., 2025, arXiv:2502.16982.

    Example:
      >>> opt = jopt.muon(0.1, ns_coeffs="polar_express", ns_steps=10)
      >>> w = {"kernel": jnp.array([[3.0, 0.0], [0.0, 0.5]]), "bias": jnp.array([2.0, -2.0])}
      >>> u, _ = opt.update(w, opt.init(w), w)
      >>> np.asarray(u["kernel"]).round(4) + 0.0, np.asarray(u["bias"]).round(4)
      (array([[-0.1,  0. ],
             [ 0. , -0.1]], dtype=float32), array([-0.1,  0.1], dtype=float32))
    """
    orthogonal = scale_by_muon(ns_coeffs, ns_steps, beta, eps, mu_dtype, nesterov=nesterov, ns_dtype=ns_dtype)
    shaped = scale_by_shape(adjust, outputs=outputs)
    rate = learning_rate if adam_learning_rate is None else adam_learning_rate

    def with_decay(mask: Any) -> Any:
        return matrixwise(
            descent(orthogonal, shaped, learning_rate=learning_rate, weight_decay=weight_decay, mask=mask, decoupled=decoupled),
            adamw(rate, adam_b1, adam_b2, adam_eps, adam_eps_root, mu_dtype, adam_weight_decay, mask, decoupled=decoupled),
            columns=columns,
            stacked=stacked,
            mask=matrices,
        )

    return with_mask(with_decay, weight_decay_mask)
