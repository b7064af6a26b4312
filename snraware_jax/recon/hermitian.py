"""Cholesky algebra of complex Hermitian matrices, on every platform.

Some TPU compilers (libtpu 0.0.52) abort on a complex Cholesky factorisation, so TPUs take the real form: each complex number
a + ib becomes the block [[a, -b], [b, a]]. The diagonal of a Cholesky factor is real, so the blocks of the factor are lower
triangular with a positive diagonal: the real factor of the real form *is* the real form of the complex factor.

On CPUs a batch is solved one matrix after the other: with jaxlib 0.10.2 on two cores, LAPACK calls of a batch wait for each
other's threads for ever.
"""

import jax.numpy as jnp
from jax import Array, lax
from jax.custom_batching import sequential_vmap
from jax.scipy.linalg import cho_solve, solve_triangular


def solve(matrix: Array, right: Array) -> Array:
    """X of matrix X = right by Cholesky, `[N, N]` Hermitian and `[N, M]`; NaN if `matrix` is not positive definite."""
    return lax.platform_dependent(matrix, right, cpu=sequential_vmap(_solve_complex), tpu=_solve_real, default=_solve_complex)


def inverse_cholesky(matrix: Array) -> Array:
    """L^-1 of matrix = L L^H, lower triangular with a positive diagonal; `[N, N]`. NaN if `matrix` is not positive definite."""
    on_cpu = sequential_vmap(_inverse_cholesky_complex)
    return lax.platform_dependent(matrix, cpu=on_cpu, tpu=_inverse_cholesky_real, default=_inverse_cholesky_complex)


def _solve_complex(matrix: Array, right: Array) -> Array:
    return cho_solve((jnp.linalg.cholesky(matrix), True), right)


def _solve_real(matrix: Array, right: Array) -> Array:
    return _complex_form(cho_solve((jnp.linalg.cholesky(_real_form(matrix)), True), _real_form(right)))


def _inverse_cholesky_complex(matrix: Array) -> Array:
    return solve_triangular(jnp.linalg.cholesky(matrix), jnp.eye(matrix.shape[0], dtype=matrix.dtype), lower=True)


def _inverse_cholesky_real(matrix: Array) -> Array:
    real = _real_form(matrix)
    return _complex_form(solve_triangular(jnp.linalg.cholesky(real), jnp.eye(real.shape[0], dtype=real.dtype), lower=True))


def _real_form(x: Array) -> Array:
    blocks = jnp.stack([jnp.stack([x.real, -x.imag], -1), jnp.stack([x.imag, x.real], -1)], 1)  # [N, 2, M, 2]
    return blocks.reshape(2 * x.shape[0], 2 * x.shape[1])


def _complex_form(x: Array) -> Array:
    return lax.complex(x[0::2, 0::2], x[1::2, 0::2])
