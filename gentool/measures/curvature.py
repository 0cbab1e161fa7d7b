"""Measure the curvature of the training loss: traces, top eigenvalues, TIC, relative flatness."""

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh
from torch import Tensor

from gentool.measures.derivatives import Derivatives, Product
from gentool.measures.measured import Estimate, Measured, Undefined
from gentool.measures.registry import MEASURES
from gentool.networks.class_logits import class_logits
from gentool.numerics.lanczos import top_eigenvector
from gentool.numerics.xtrace import xtrace

FACTS = {"cost": "gradient", "needs": ("data", "gradients"), "larger": "a sharper minimum"}
SAMPLED = FACTS | {"needs": ("data", "gradients", "sampling")}
EIGENVALUES = 5  # top ones of each matrix
TOLERANCE = 1e-6  # relative, of an eigenvalue
DENSE = 256  # parameters up to which a matrix is written out for its eigenvalues
PRODUCTS, MOST_PRODUCTS = 32, 1024  # of a trace
LEAST_SAMPLES = 64  # images of a sampled trace, before its error is looked at
TIC_PARAMETERS = 3000  # up to which the Hessian is inverted
CUT = 1e-6  # of the largest eigenvalue: below it the pseudo-inverse takes 0


@MEASURES.register(**SAMPLED, groups=("hessian",))
def hessian_trace_of_layers(net: Measured) -> Estimate:
    """Trace of the Hessian, as the sum of the traces of its layers' blocks, with _stderr.

        tr(∇²L(w)) = Σᵢ tr(∇²_{Wᵢ,bᵢ} L(w))

    L is the mean cross-entropy over the training set. Each block by XTrace of 32 products or more,
    until its part of the error is below --rel-error; exact where it has fewer parameters. The trace
    of each layer is in the table of layers as hessian_trace.
    Epperly, Tropp and Webber, XTrace, SIAM J. Matrix Anal. Appl. 2024.
    """
    at, generator = Derivatives.of(net), net.generator()
    traces = [
        xtrace(
            _block(at, at.hessian, block),
            at.weights[block],
            generator,
            PRODUCTS,
            net.rel_error,
            MOST_PRODUCTS,
        )
        for block in at.blocks
    ]
    net.of_layers["hessian_trace"] = [trace.value for trace in traces]
    net.of_layers["hessian_trace_stderr"] = [trace.stderr for trace in traces]
    error = math.hypot(*(trace.stderr for trace in traces))
    return Estimate(math.fsum(trace.value for trace in traces), error)


@MEASURES.register(**FACTS, groups=("hessian",))
def hessian_top_eigenvalue_of_layers(net: Measured) -> float:
    """Largest eigenvalue of a layer's block of the Hessian; each is in the table of layers.

        max over i of λ_max(∇²_{Wᵢ,bᵢ} L(w)), from below, by Lanczos iteration to a relative 1e-6

    It is at most the largest eigenvalue of the Hessian.
    Ghorbani et al., An Investigation into Neural Net Optimization, ICML 2019.
    """
    at, generator, values = Derivatives.of(net), net.generator(), []
    for block in at.blocks:
        product = _block(at, at.hessian, block)
        v = top_eigenvector(product, at.weights[block], generator, TOLERANCE).vector
        v = v / v.norm()
        values.append(float(v @ product(v)))
    net.of_layers["hessian_top_eigenvalue"] = values
    return max(values)


@MEASURES.register(**SAMPLED, groups=("hessian", "fisher"))
def gauss_newton_trace(net: Measured) -> Estimate:
    """Trace of the Gauss-Newton matrix, which is the Fisher information, with _stderr.

        tr G = 1/m Σₓ Σ_c p_c ‖∇_w log p_c(x)‖²

    p are the softmax probabilities. G = 1/m Σ Jᵀ (diag p − p pᵀ) J: the Hessian without the second
    derivatives of the logits. Images are taken in random order until the standard error is below
    --rel-error; exact, with error 0, where all are. Each layer's is in the table of layers.
    Martens, New Insights and Perspectives on the Natural Gradient Method, JMLR 2020.
    """

    def squares(at: Derivatives, images: Tensor, labels: Tensor) -> Tensor:
        total: Tensor | float = 0.0
        for c in range(at.network.classes if at.network.classes > 1 else 2):

            def towards(logits: Tensor, c: int = c) -> Tensor:
                p = logits.softmax(dim=1)
                e = torch.zeros_like(p)
                e[:, c] = 1
                return (e - p) * p[:, c : c + 1].sqrt()

            gradients, _ = at.image_gradients(images, towards)
            total = total + _squares(at, gradients)
        return total

    return _mean_over_images(net, "gauss_newton_trace", squares)


@MEASURES.register(**SAMPLED, groups=("hessian", "fisher"))
def empirical_fisher_trace(net: Measured) -> Estimate:
    """Trace of the second moment of the gradients, the empirical Fisher matrix, with _stderr.

        tr C = 1/m Σₓ ‖∇_w ℓ(x)‖²

    As gauss_newton_trace, with the true label in place of all classes.
    Thomas et al., On the Interplay between Noise and Curvature, AISTATS 2020.
    """

    def squares(at: Derivatives, images: Tensor, labels: Tensor) -> Tensor:
        gradients, _ = at.image_gradients(images, lambda logits: _slopes(logits, labels))
        return _squares(at, gradients)

    return _mean_over_images(net, "empirical_fisher_trace", squares)


@MEASURES.register(cost="gradient", needs=("data", "gradients", "sampling"))
def tic_trace_ratio(net: Measured) -> Estimate:
    """Takeuchi's criterion with traces in place of matrices, with _stderr.

        1/m tr C / tr G

    C is the second moment of the gradients, G the Gauss-Newton (Fisher) matrix, m the number of
    training images. An estimate of the gap of the losses that needs no inverse.
    Thomas et al., On the Interplay between Noise and Curvature, AISTATS 2020.
    """
    C, G = empirical_fisher_trace(net), gauss_newton_trace(net)
    if G.value <= 0:
        raise Undefined("the Fisher information is zero")
    ratio = C.value / G.value / len(net.trained_on)
    relative = math.hypot(C.stderr / C.value if C.value else 0.0, G.stderr / G.value)
    return Estimate(ratio, ratio * relative)


@MEASURES.register(cost="gradient", needs=("data", "gradients"), larger="a larger gap of losses")
def tic(net: Measured) -> float:
    """Takeuchi's information criterion: the gap of the losses as second order predicts it.

        1/m tr(H⁺ C)

    H is the Hessian of the training loss, C the second moment of the gradients of the m images. H⁺
    is the pseudo-inverse of the eigenvalues above 1e-6 of the largest: smaller and negative ones
    count 0. Of networks of up to 3,000 parameters; tic_trace_ratio is for all.
    Thomas et al., On the Interplay between Noise and Curvature, AISTATS 2020.
    """
    at = Derivatives.of(net)
    if len(at.weights) > TIC_PARAMETERS:
        raise Undefined(
            f"the Hessian of {len(at.weights):,} parameters is too large to invert (at most "
            f"{TIC_PARAMETERS:,}); tic_trace_ratio needs no inverse"
        )
    values, vectors = torch.linalg.eigh(_dense(at, at.hessian))
    kept = values > CUT * values[-1]
    if not bool(kept.any()) or values[-1] <= 0:
        raise Undefined("the Hessian has no positive eigenvalue")
    basis, total = vectors[:, kept] / values[kept].sqrt(), 0.0
    for images, labels in at.examples.batches(at.gradient_chunk(), torch.float64):
        gradients, _ = at.image_gradients(images, lambda f, y=labels: _slopes(f, y))
        total += float((gradients @ basis).square().sum())
    return total / len(at.examples) ** 2


@MEASURES.register(cost="data", needs=("data",), larger="a sharper minimum", is_rescalable=True)
def relative_flatness(net: Measured) -> float:
    """Relative flatness of the last layer: its Hessian's traces, weighted by its own weights.

        κ = Σ_{s,t} ⟨w_s, w_t⟩ tr(∂²L / ∂w_s ∂w_t) = 1/m Σₓ ‖φ(x)‖² tr(W Wᵀ (diag p − p pᵀ))

    w_s are the rows of the last weight layer W, φ(x) its input, p the softmax probabilities: exact,
    as the second form is the first for the cross-entropy. Rescaling layers does not change it.
    Petzka et al., Relative Flatness and Generalization, NeurIPS 2021.
    """
    last = net.network.layers[-1]
    if not isinstance(last.module, torch.nn.Linear):
        raise Undefined("the last layer is not linear")
    net.check_size()
    W = last.module.weight.detach()
    W = torch.cat([torch.zeros_like(W), W]) if len(W) == 1 else W
    gram, total = W @ W.T, 0.0
    at = Derivatives.of(net)
    with torch.inference_mode():
        for images, _ in at.batches():
            for module in at.modules[:-1]:
                images = module(images)
            p = class_logits(at.modules[-1](images)).softmax(dim=1)
            spread = p @ gram.diagonal() - ((p @ gram) * p).sum(dim=1)
            total += float((images.square().sum(dim=1) * spread).sum())
    return total / len(at.examples)


def _define_eigenvalue(matrix: str, k: int, words: str, formula: str, source: str) -> None:
    """Register the k-th largest eigenvalue of a matrix of second derivatives."""

    def measure(net: Measured) -> float:
        values = _eigenvalues(net, matrix)
        if k > len(values):
            raise Undefined(f"the matrix has {len(values)} eigenvalues")
        return float(values[k - 1])

    measure.__name__, measure.__module__ = f"{matrix}_eigenvalue_{k}", __name__
    rank = {1: "Largest", 2: "Second largest", 3: "Third largest"}.get(k, f"{k}th largest")
    measure.__doc__ = f"""{rank} eigenvalue of {words}.

        λ_{k}({formula})

    By ARPACK to a relative {TOLERANCE:g}, of up to {DENSE} parameters from the whole matrix.
    {source}
    """
    group = "hessian" if matrix == "hessian" else "fisher"
    MEASURES.register(**FACTS, groups=dict.fromkeys(("hessian", group)))(measure)


for _k in range(1, EIGENVALUES + 1):
    _define_eigenvalue(
        "hessian",
        _k,
        "the Hessian of the training loss",
        "∇²L(w)",
        "Ghorbani et al., An Investigation into Neural Net Optimization, ICML 2019.",
    )
    _define_eigenvalue(
        "gauss_newton",
        _k,
        "the Gauss-Newton matrix, which is the Fisher information",
        "1/m Σ Jᵀ (diag p − p pᵀ) J",
        "Martens, New Insights and Perspectives on the Natural Gradient Method, JMLR 2020.",
    )
    _define_eigenvalue(
        "empirical_fisher",
        _k,
        "the second moment of the gradients, the empirical Fisher matrix",
        "1/m Σₓ ∇ℓ(x) ∇ℓ(x)ᵀ",
        "Thomas et al., On the Interplay between Noise and Curvature, AISTATS 2020.",
    )


def _eigenvalues(net: Measured, matrix: str) -> list[float]:
    """Return the largest eigenvalues of a matrix, from the largest down; computed once."""
    key = ("eigenvalues", matrix, net.seed)
    if key not in net.shared:
        at = Derivatives.of(net)
        net.shared[key] = _top(at, getattr(at, matrix), net.seed)
    return net.shared[key]


def _top(at: Derivatives, product: Product, seed: int) -> list[float]:
    P, like = len(at.weights), at.weights
    if P <= DENSE:
        values = torch.linalg.eigvalsh(_dense(at, product))
        return values.flip(0)[:EIGENVALUES].tolist()

    def on_arrays(v: np.ndarray) -> np.ndarray:
        return product(torch.from_numpy(v.ravel()).to(like)).cpu().numpy()

    operator = LinearOperator((P, P), matvec=on_arrays, dtype=np.float64)
    start = np.random.default_rng(seed).standard_normal(P)
    try:
        values = eigsh(
            operator, EIGENVALUES, which="LA", tol=TOLERANCE, v0=start, return_eigenvectors=False
        )
    except ArpackError as error:
        raise Undefined(f"the iteration found no eigenvalues ({error})") from error
    return sorted(values.tolist(), reverse=True)


def _dense(at: Derivatives, product: Product) -> Tensor:
    """Return a matrix from its products with all unit vectors, made symmetric."""
    unit = torch.eye(len(at.weights)).to(at.weights)
    matrix = torch.stack([product(row) for row in unit])
    return (matrix + matrix.T) / 2


def _block(at: Derivatives, product: Product, block: slice) -> Product:
    """Return the product with a diagonal block of a matrix."""

    def of_block(v: Tensor) -> Tensor:
        whole = torch.zeros_like(at.weights)
        whole[block] = v
        return product(whole)[block]

    return of_block


def _slopes(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the derivative of each image's loss with respect to its logits."""
    p = logits.softmax(dim=1)
    p[torch.arange(len(labels)), labels] -= 1
    return p


def _squares(at: Derivatives, gradients: Tensor) -> Tensor:
    """Return the squared norm of each layer's part of gradients (n, P): shape (n, layers)."""
    return torch.stack([gradients[:, b].square().sum(dim=1) for b in at.blocks], dim=1)


def _mean_over_images(
    net: Measured, name: str, squares: Callable[[Derivatives, Tensor, Tensor], Tensor]
) -> Estimate:
    """Return the mean over the images of the sum over the layers, until it is exact enough.

    The mean of each layer goes into the table of layers.
    """
    key = (name, net.seed, net.rel_error)
    if key in net.shared:
        return net.shared[key]
    at = Derivatives.of(net)
    m, size = len(at.examples), at.gradient_chunk()
    order = torch.randperm(m, generator=net.generator()).to(at.examples.labels.device)
    parts: list[Tensor] = []
    n, error, goal = 0, math.inf, 0.0
    while n < m and error > goal:
        end = min(m, max(LEAST_SAMPLES, 2 * n))  # where to look does not depend on the chunks
        for chosen in order[n:end].split(size):
            images, labels = at.examples.batch(chosen, torch.float64)
            parts.append(squares(at, images, labels).detach())
        n, each = end, torch.cat(parts)
        totals = each.sum(dim=1)  # drawn without replacement: no error at the end
        error = float(totals.std() / math.sqrt(n)) * math.sqrt(1 - n / m) if n < m else 0.0
        goal = net.rel_error * float(totals.mean())
    if not bool(each.isfinite().all()):
        raise Undefined("derivatives of the loss are beyond the numbers of a computer")
    net.of_layers[name] = each.mean(dim=0).tolist()
    net.shared[key] = Estimate(float(totals.mean()), error)
    return net.shared[key]
