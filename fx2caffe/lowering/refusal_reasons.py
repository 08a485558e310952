"""Functions that Caffe cannot express, each with the reason that the user's error gives.

A function without a handler that is not listed here may still be expressible: it is refused
with a hint to register one.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

UNKNOWN = "needs a handler (see fx2caffe.register): no layers are known for it"

RANDOM = "needs random numbers, and an exported net has to give the same result every time"
COMPLEX = "needs complex numbers, and Caffe's blobs hold real ones"
SPARSE = "needs a sparse or jagged layout, and Caffe's blobs are dense"
DATA_SHAPE = "needs a result whose shape depends on the data, and Caffe's shapes do not"
EDGES = "needs torch.histc with min and max, which counts in bins of known edges"
SUPPRESSES = (
    "needs as many boxes as the data leave over, and Caffe's shapes are fixed: cut the net before "
    "it (outputs=...) and suppress the boxes of the net; for an SSD see fx2caffe.single_shot"
)
FACTORS = "needs a matrix factorization, which no composition of Caffe's layers computes"
ITERATES = "needs an iteration whose length depends on the data, and a net has a fixed length"
SPECIAL = "needs a special function that no layers give to the precision of float32"
BITS = "needs the bits of its elements, and Caffe's layers compute with float32 alone"
DEGREES = "needs another polynomial for every number, since its degrees come as a tensor"
ROUNDS = "needs arithmetic in a type narrower than float32, in which Caffe's layers compute"
COUNTS = "needs to count equal elements of any value, for which no layer compares all with all"
TRAINING = "needs gradients or labels: it is part of training, not of inference"
STRIDES = "needs the memory layout of its tensor, which a blob does not have"
SCATTERS = "needs to write to indices that the data choose, and Caffe's layers only read there"
NAN = "needs to count NaN, and no net is fed any: use the function without NaN"
KERNEL = "needs a kernel of another device or a compiled function, which is no layer"

# For each reason the functions, by their names in torch (`linalg_svd` is torch.linalg.svd), without
# the trailing underscore of in-place forms.
_FUNCTIONS: Mapping[str, str] = {
    RANDOM: """
        bernoulli cauchy exponential geometric log_normal multinomial normal poisson uniform
        rand_like randn_like randint_like random randperm binomial
        gumbel_softmax pca_lowrank svd_lowrank
    """,
    COMPLEX: "chalf",
    SPARSE: """
        to_sparse to_sparse_csr to_sparse_coo sparse_mm sparse_sampled_addmm to_mkldnn to_dense
        segment_reduce _segment_reduce
    """,
    DATA_SHAPE: """
        nonzero nonzero_static argwhere masked_select unique unique_consecutive bincount _unique2
    """,
    EDGES: "histogram histogramdd",
    SUPPRESSES: "nms",
    FACTORS: """
        linalg_cholesky linalg_cholesky_ex linalg_cond linalg_det linalg_eig linalg_eigh
        linalg_eigvals linalg_eigvalsh linalg_householder_product linalg_inv linalg_inv_ex
        linalg_ldl_factor linalg_ldl_factor_ex linalg_ldl_solve linalg_lstsq linalg_lu
        linalg_lu_factor linalg_lu_factor_ex linalg_lu_solve linalg_matrix_rank
        linalg_matrix_sqrth linalg_pinv linalg_polar linalg_qr linalg_slogdet linalg_solve
        linalg_solve_ex linalg_solve_triangular linalg_svd linalg_svdvals linalg_tensorinv
        linalg_tensorsolve linalg_matrix_exp matrix_exp cholesky cholesky_inverse
        cholesky_solve det logdet slogdet geqrf inverse lu lu_solve lu_unpack ormqr orgqr
        pinverse qr svd triangular_solve _lu_with_info
    """,
    ITERATES: "gcd lcm ctc_loss",
    SPECIAL: """
        digamma lgamma polygamma mvlgamma igamma igammac i0 special_airy_ai special_bessel_j0
        special_bessel_j1 special_bessel_y0 special_bessel_y1 special_i0 special_i0e special_i1
        special_i1e special_modified_bessel_i0 special_modified_bessel_i1
        special_modified_bessel_k0 special_modified_bessel_k1 special_ndtri
        special_polygamma special_psi special_digamma special_gammaln special_gammainc
        special_gammaincc special_multigammaln special_scaled_modified_bessel_k0
        special_scaled_modified_bessel_k1 special_spherical_bessel_j0 special_zeta
        special_erfcx special_log_ndtr
    """,
    BITS: "frexp nextafter hash_tensor view",
    DEGREES: """
        special_chebyshev_polynomial_t special_chebyshev_polynomial_u
        special_chebyshev_polynomial_v special_chebyshev_polynomial_w
        special_hermite_polynomial_h special_hermite_polynomial_he
        special_laguerre_polynomial_l special_legendre_polynomial_p
        special_shifted_chebyshev_polynomial_t special_shifted_chebyshev_polynomial_u
        special_shifted_chebyshev_polynomial_v special_shifted_chebyshev_polynomial_w
    """,
    ROUNDS: "_scaled_mm _scaled_mm_v2 quantize_per_tensor quantize_per_channel dequantize",
    COUNTS: "mode",
    TRAINING: """
        _softmax_backward_data max_pool2d_with_indices_backward native_dropout_backward
        _batch_norm_with_update native_batch_norm
        multi_margin_loss multilabel_margin_loss linear_cross_entropy cosine_embedding_loss
        gaussian_nll_loss hinge_embedding_loss margin_ranking_loss multilabel_soft_margin_loss
        poisson_nll_loss triplet_margin_loss triplet_margin_with_distance_loss
    """,
    STRIDES: "resize resize_as as_strided as_strided_copy as_strided_scatter",
    SCATTERS: "put _unsafe_masked_index_put_accumulate",
    NAN: "nanmean nanmedian nanquantile",
    KERNEL: """
        jiterator_2inputs_2outputs jiterator_4inputs_with_extra_args jiterator_binary
        jiterator_binary_return_by_ref jiterator_unary _efficient_attention_forward
        _flash_attention_forward
    """,
}  # fmt: skip


def _by_name() -> dict[str, str]:
    found: dict[str, str] = {}
    for reason, names in _FUNCTIONS.items():
        for name in names.split():
            if name in found:
                raise ValueError(f"{name} needs one reason, got two")
            found[name] = reason
    return found


REASONS: Mapping[str, str] = MappingProxyType(_by_name())


def reason_for(target: Any) -> str:
    """Return why a function has no handler: `needs <constraint>, ...`."""
    name = getattr(target, "__name__", str(target))
    return REASONS.get(name) or REASONS.get(name.rstrip("_"), UNKNOWN)
