"""Mutations that survive, as ``tests/mutations.py`` prints them (without the line), and why they change no number."""

_ADAM, _BELIEF, _RADAM = (f"jopt/optimizers/{name}.py, " for name in ("adam", "adabelief", "radam"))
_CLIPPING, _PLATEAU = "jopt/transforms/clipping.py, ", "jopt/transforms/plateau.py, "
_FACTORS = "jopt/optimizers/kron_factors.py, "
_SOAP, _FACTOR = "jopt/optimizers/soap.py, scale_by_soap: ", "a factor of all means, whose eigenvectors count"
_RMS, _WHOLE = "jopt/optimizers/soap.py, _rms: ", "the elements of a matrix alone are all of its leaf's"
_DRAWN, _SELDOM = "numbers that are drawn are never all 0", "one draw in 2³² would tell"
_BALANCED = "balanced factors have the same product, in the few steps in which they are balanced"
_UNREAD = "a weight of g that nothing reads without nesterov"
_HIDDEN = "where it is not used, any number will do that has a logarithm"
_BEYOND = "beyond the last digit of float64, for every x below 0.5"
_POWER = "another power of two, by which no digit changes; only the largest and smallest numbers would leave their range"

SURVIVORS: dict[str, str] = {
    _ADAM + "scale_by_adam: 0.0 -> 1.0 (2)": _UNREAD,
    _BELIEF + "scale_by_belief: 0.0 -> 1.0": _UNREAD,
    _RADAM + "scale_by_radam: 0.0 -> 1.0 (2)": _UNREAD,
    _RADAM + "_rectification: 0.5 -> 0.25": _HIDDEN,
    _RADAM + "_rectification: 1.0 -> 2.0 (3)": "ρ with β₂ = 0, which is no more than 4 either way: never rectified",
    _RADAM + "_rectification: rho >= threshold -> rho > threshold": "no β₂ and step are known whose ρ is a threshold exactly",
    _RADAM + "_rectification: rho > 4.0 -> rho >= 4.0": "no β₂ and step are known whose ρ is 4 exactly",
    _RADAM + "_without_pole: x < 0.5 -> x <= 0.5": "at 0.5 both forms are right to the last digit",
    _RADAM + "_without_pole: 0.5 -> 0.25 (2)": _HIDDEN,
    _RADAM + "_without_pole: 1209600 -> 1209601": _BEYOND,
    _RADAM + "_without_pole: 47900160 -> 47900161": _BEYOND,
    _RADAM + "_without_pole: 1307674368000 -> 1307674368001": _BEYOND,
    "jopt/optimizers/lion.py, table: jnp.abs(c) < 1.0 -> jnp.abs(c) <= 1.0": "where |c| is 1, its sign is c itself",
    "jopt/optimizers/rprop.py, scale_by_rprop: jnp.sign(g) -> g": "only the sign of the product is read",
    "jopt/optimizers/adafactor.py, _factored_axes: 0 -> 1": "an axis of one element has the same means as its elements",
    _CLIPPING + "clip_by_global_norm: norm <= bound * unit -> norm < bound * unit": "at the bound the factor is 1",
    _CLIPPING + "_scaled_norm: 0.25 -> 0.125": "scaled more often than it must be, to the same norm",
    _CLIPPING
    + "_scaled_norm: plain > jnp.finfo(wide).tiny ** 0.25 -> plain >= jnp.finfo(wide).tiny ** 0.25": "either way its norm",
    _CLIPPING + "_inverse_power_of_two: top - 1 -> top + 1": _POWER,
    _CLIPPING + "_inverse_power_of_two: 1 -> 2 (2)": _POWER,
    _CLIPPING + "_inverse_power_of_two: 1 -> 2 (3)": _POWER,
    _PLATEAU + "multiplier: 1e-37 -> 5e-38": "stands in for a rate of 0, by which nothing is divided then",
    _PLATEAU + "_observe: 0.0 -> 1.0 (2)": "before the first value the best one is infinite, and no margin changes that",
    "jopt/transforms/partitioning.py, _check_patterns: 5 -> 6": "how many leaves an error lists",
    "jopt/optimizers/ademamix.py, _one_minus_between: memory > 0 -> memory >= 0 (2)": "a memory of 0 is not looked at here",
    "jopt/optimizers/ademamix.py, _one_minus_between: 1.0 -> 2.0 (3)": "stands for 0, which is not looked at here",
    "jopt/optimizers/ademamix.py, _memory: b > 0 -> b >= 0": "the logarithm of 0 is not looked at",
    "jopt/optimizers/ademamix.py, _memory: 0.5 -> 0.25": "stands for 0, whose logarithm is not looked at",
    _FACTORS + "_normal: 1 -> 2 (2)": "an index past the end of two is the last one, as JAX has it",
    _FACTORS + "_normal: 2 -> 3": "a third row of draws, which nothing reads and which leaves the two as they are",
    _FACTORS + "_norm_below: jnp.abs(a) -> a": "without negative eigenvalues, the largest element is on the diagonal",
    _FACTORS + "_balanced: jnp.abs(q) -> q": _BALANCED,
    _FACTORS + "_step: nonzero(jnp.max(aa + bb, axis=-1, keepdims=True)) -> jnp.max(aa + bb, axis=-1, keepdims=True)": _DRAWN,
    _FACTORS + "_step: nonzero(_norm_below(aa + bb)) -> _norm_below(aa + bb)": _DRAWN,
    _FACTORS + "_norm_below: nonzero(top) -> top": _DRAWN,
    _FACTORS + "_norm_below: nonzero(_length(x)) -> _length(x)": _DRAWN,
    "jopt/optimizers/schedule_free.py, schedule_free: 1.0 -> 2.0 (3)": "any constant weighs all steps alike",
    _FACTORS + "table: 42949673 -> 42949674": _SELDOM,
    _FACTORS
    + "moved: jax.random.bits(key, (), jnp.uint32) < _BALANCED -> jax.random.bits(key, (), jnp.uint32) <= _BALANCED": _SELDOM,
    _FACTORS + "first_factor: 1 -> 2": "the right factor of a vector, which nothing reads",
    _RMS + "2 -> 3": _WHOLE,
    _RMS + "x.ndim >= 2 -> x.ndim > 2": _WHOLE,
    "jopt/optimizers/shampoo.py, _length: x.ndim >= 2 -> x.ndim > 2": _WHOLE,
    "jopt/optimizers/shampoo.py, _squares: 1 -> 2 (2)": "the shape of what nothing reads",
    "jopt/optimizers/soap.py, soap: 0 -> 1 (2)": "a basis of one element is a sign",
    _SOAP + "t > 1.0 -> t >= 1.0": "a power iteration from eigenvectors, which stay what they are",
    _SOAP + "1.0 - beta -> 1.0 + beta": _FACTOR,
    _SOAP + "1.0 - beta -> 1.0 (2)": _FACTOR,
    "jopt/transforms/averaging.py, _averaging: 1.0 -> 2.0": "with a share of 1 the sum is w, but for rounding",
    _FACTORS + "matrix_shape: 1 -> 2": "the factor of a vector is a diagonal, however many columns it is said to have",
    _FACTORS + "_balanced: 2 -> 3": _BALANCED,
    _FACTORS + "_balanced: nonzero(top) -> top": "no factor is zero",
    _FACTORS + "_balanced: len(qs) < 2 -> len(qs) <= 2": _BALANCED,
    _FACTORS + "_balanced: q * _spread(both / nonzero(top), q.ndim) -> q / _spread(both / nonzero(top), q.ndim)": _BALANCED,
    _SOAP + "(1.0 - beta) * adjoint(g) -> adjoint(g)": _FACTOR,
    _SOAP + "1.0 - beta -> 1.0": _FACTOR,
    "jopt/transforms/orthogonal.py, _is_tall: x.shape[-2] > x.shape[-1] -> x.shape[-2] >= x.shape[-1]": "a square",
    "jopt/transforms/orthogonal.py, _schedule_of: 0 -> 1": "stands for no table, which one number is as little as none",
    "jopt/transforms/orthogonal.py, orthogonalize: 8 -> 9": "how many steps there may be",
    _FACTORS + "first_factor: 1 -> 2 (2)": "the shape of what nothing reads",
    _SOAP + "1.0 - beta -> 1.0 + beta (2)": _FACTOR,
    _SOAP + "1.0 -> 2.0 (7)": _FACTOR,
    _SOAP + "1.0 -> 2.0 (8)": _FACTOR,
    _SOAP + "(1.0 - beta) * g -> g": _FACTOR,
    "jopt/optimizers/shampoo.py, _length: 2 -> 3": "a matrix has no other axes than its two",
    "jopt/transforms/averaging.py, _averaging: share < 1.0 -> share <= 1.0": "with a share of 1 the sum is w, but for rounding",
    "jopt/optimizers/prodigy.py, prodigy: norm > 0 -> norm >= 0": "where the norm is 0, so is what is divided by it, or by 1",
    "jopt/optimizers/prodigy.py, prodigy: nonzero(norm) -> norm": "a quotient by 0 is not looked at, but by derivatives",
    "jopt/optimizers/prodigy.py, _sums: beta3 * s + of_g * g -> beta3 * s - of_g * g": "its norm alone counts",
}
