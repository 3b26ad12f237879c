"""NorMuon: Muon with a step of its own for each neuron."""

from __future__ import annotations

from typing import Any

from jopt.optimizers.adam import adamw
from jopt.optimizers.muon import ALIAS_DOMAIN, DECAYS, RATES, STATIC, scale_by_muon
from jopt.transformation import transformation
from jopt.transforms import matrixwise, normalize_neurons, scale_by_shape
from jopt.transforms.descent import descent
from jopt.transforms.masking import with_mask
from jopt.values.numbers import Numeric, ScalarOrSchedule


@transformation(wide=True, static=STATIC, schedules=DECAYS, evaluates=RATES, domain={**ALIAS_DOMAIN, "b2": "[0, 1)"})
def normuon(
    learning_rate: ScalarOrSchedule,
    ns_coeffs: Any = "standard",
    ns_steps: int = 5,
    beta: Numeric = 0.95,
    b2: Numeric = 0.95,
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
    """NorMuon: Muon whose orthogonal matrices are divided, neuron by neuron, by the root of their mean square.

    ``m' = β m + (1 − β) g``; ``o = orthogonal(β m' + (1 − β) g)``, or of m' without ``nesterov``;
    ``v' = β₂ v + (1 − β₂) mean_inputs(o²)``; ``r = o / (√v' + 1e-10)``; ``w' = w − α (s r ‖o‖ / (‖r‖ + 1e-10) + λ w)``, or
    with λ w beside the step with ``decoupled``. s is Muon's factor for the shape, ‖·‖ the Frobenius norm.

    An orthogonal matrix gives some neurons longer steps than others; here each has as long ones, and all of them together are
    as long as Muon's. What is not a matrix is AdamW's, as in ``jopt.muon``.

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch.
      ns_coeffs: The coefficients of the iteration, as ``jopt.orthogonalize`` has them: "standard", "polar_express", or
        numbers. Structure.
      ns_steps: The steps of the iteration; structure.
      beta: β in [0, 1).
      b2: β₂ in [0, 1).
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
      outputs: Where a matrix has its outputs, the neurons: "rows" of [outputs, inputs], as the weights of PyTorch and Equinox
        are, or "columns" of [inputs, outputs]; give that for kernels of Flax, and wherever a layer is x @ w.
      ns_dtype: The type of the iteration; by default float32 or wider.
      decoupled: Whether both λ are not multiplied by the rates.

    Returns:
      The optimizer; its state is ``MatrixwiseState(matrix_state, other_state)``, and its ``update`` needs the parameters.

    Raises:
      ValueError: For a number out of its range, a name that is none of those above, and from ``init`` and ``update`` what
        ``jopt.matrixwise`` says about ``columns``, ``stacked`` and ``matrices``.

    Differs from:
      The paper's Algorithm 1 gives the elements of each update the root mean square 0.2 exactly; its code keeps ‖o‖, as here,
      which with "match_rms_adamw" is 0.2 up to how near to 1 the singular values are. Optax and
      PyTorch have no NorMuon.

    Use when:
      As Muon, at the price of a number for each neuron: no neuron's step is left small.

    Reference:
      Li et al., 2025, arXiv:2510.05491.

    Example:
      >>> opt = jopt.normuon(0.1, ns_coeffs="polar_express", ns_steps=10)
      >>> w = jnp.array([[3.0, 0.0, 3.0], [0.0, 0.5, 0.0]])
      >>> np.asarray(opt.update(w, opt.init(w), w)[0]).round(4) + 0.0
      array([[-0.0707,  0.    , -0.0707],
             [ 0.    , -0.1   ,  0.    ]], dtype=float32)
    """
    orthogonal = scale_by_muon(ns_coeffs, ns_steps, beta, eps, mu_dtype, nesterov=nesterov, ns_dtype=ns_dtype)
    direction = orthogonal, normalize_neurons(b2, outputs=outputs), scale_by_shape(adjust, outputs=outputs)
    rate = learning_rate if adam_learning_rate is None else adam_learning_rate

    def with_decay(mask: Any) -> Any:
        return matrixwise(
            descent(*direction, learning_rate=learning_rate, weight_decay=weight_decay, mask=mask, decoupled=decoupled),
            adamw(rate, adam_b1, adam_b2, adam_eps, adam_eps_root, mu_dtype, adam_weight_decay, mask, decoupled=decoupled),
            columns=columns,
            stacked=stacked,
            mask=matrices,
        )

    return with_mask(with_decay, weight_decay_mask)
