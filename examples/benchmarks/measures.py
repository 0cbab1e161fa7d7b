"""Time measures beside other packages on the same network, one thread, in turns.

python examples/benchmarks/measures.py [--others FOLDER] [--turns N] [--hidden N] [--images N]
                                       [--probes N] [--size PIXELS] [--only PART,...]

The parts are products, trace, eigenvalue, norms, paths and vgg. FOLDER holds the other packages,
installed with `pip install --target FOLDER`: pyhessian, curvlinops-for-pytorch,
hessian-eigenthings, weightwatcher and what they need. One that is not there has no row. Seconds are
of the processor, so that ratios hold beside other work too. PATH-NORM is published as source code
alone: its algorithm stands here in its place.
"""

import argparse
import copy
import importlib
import math
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence

import torch
import torchvision
from scipy.sparse.linalg import eigsh
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import gentool
from gentool.measures import MEASURES, Measured, evaluate_measures
from gentool.networks.canonical import canonical
from gentool.numerics.hessian import HessianProducts
from gentool.numerics.lanczos import top_eigenvector
from gentool.numerics.xtrace import xtrace

HEAD = (
    "| work | beside | gentool | other | gentool over other (range) | values |\n"
    "|---|---|---|---|---|---|"
)
TOP_TOLERANCE = 1e-5
Row = tuple[str, str, Callable[[], object], Callable[[], object], Callable[[object, object], str]]
"""Work, the other package, our call, its call, and what their results say of each other."""


def main(options: argparse.Namespace) -> None:
    """Print a row for each work and each package that is there."""
    if options.others:
        sys.path.append(options.others)
    warnings.simplefilter("ignore")
    problem = Problem(options.hidden, options.images)
    parts = {
        "products": lambda: products(problem),
        "trace": lambda: traces(problem, options.probes),
        "eigenvalue": lambda: eigenvalues(problem),
        "norms": lambda: norms(options.hidden),
        "paths": lambda: paths(options.size),
        "vgg": lambda: whole_measures(options.size),
    }
    print(f"torch {torch.__version__}, one thread, gentool {gentool.__version__}\n\n{HEAD}")
    for name in options.only.split(","):
        for row in parts[name]():
            print_row(*row, turns=options.turns)


def print_row(
    work: str,
    other: str,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    compare: Callable[[object, object], str],
    turns: int,
) -> None:
    """Print the medians of the seconds of both, taken in turns, and of their ratio."""
    seconds: list[tuple[float, float]] = []
    for _ in range(turns):
        began = time.process_time()
        our_value = ours()
        middle = time.process_time()
        their_value = theirs()
        seconds.append((middle - began, time.process_time() - middle))
    ratios = [a / b for a, b in seconds]
    medians = [statistics.median(column) for column in zip(*seconds, strict=True)]
    print(
        f"| {work} | {other} | {medians[0]:.3f} s | {medians[1]:.3f} s "
        f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) "
        f"| {compare(our_value, their_value)} |",
        flush=True,
    )


def package(name: str) -> object | None:
    """Return a module of another package; None, and a word on stderr, if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        print(f"{name} is left out: {error}", file=sys.stderr)
        return None


class Problem:
    """Hold an MLP of two hidden layers that fits random images, and its Hessian."""

    def __init__(self, hidden: int, images: int, steps: int = 60) -> None:
        torch.manual_seed(0)
        layers = [nn.Linear(784, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
        self.model = nn.Sequential(*layers, nn.Linear(hidden, 10))
        self.images, self.labels = torch.randn(images, 784), torch.randint(10, (images,))
        optimizer = torch.optim.Adam(self.model.parameters())
        for _ in range(steps):
            optimizer.zero_grad()
            cross_entropy(self.model(self.images), self.labels).backward()
            optimizer.step()
        self.names = [name for name, _ in self.model.named_parameters()]
        self.parameters = list(self.model.parameters())
        self.size = sum(p.numel() for p in self.parameters)

    def ours(self) -> HessianProducts:
        """Return products as gentool computes them, for a new network: no gradient is there yet."""

        def loss(parameters: list[Tensor], images: Tensor, labels: Tensor) -> Tensor:
            named = dict(zip(self.names, parameters, strict=True))
            return cross_entropy(torch.func.functional_call(self.model, named, (images,)), labels)

        chunks = [(self.images, self.labels)]
        return HessianProducts(loss, self.parameters, lambda: chunks, is_one=True)

    def vectors(self, count: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(1)
        return list(torch.randn(count, self.size, generator=generator))

    def pyhessian(self, module: object) -> object:
        batch = (self.images, self.labels)
        model = copy.deepcopy(self.model)
        return module.hessian(model, nn.CrossEntropyLoss(), data=batch, cuda=False)

    def eigenthings(self, module: object) -> object:
        loss = module.supervised_loss(nn.CrossEntropyLoss())
        return module.HessianOperator(self.model, [(self.images, self.labels)], loss)

    def curvlinops(self, module: object) -> object:
        return module.HessianLinearOperator(
            self.model,
            nn.CrossEntropyLoss(),
            self.parameters,
            [(self.images, self.labels)],
            check_deterministic=False,
        )


def products(problem: Problem, count: int = 8) -> Iterator[Row]:
    """Yield rows of Hessian-vector products, the same vectors for all."""
    vectors, work = problem.vectors(count), f"{count} Hessian products"

    def difference(ours: list[Tensor], theirs: list[Tensor]) -> str:
        pairs = list(zip(ours, theirs, strict=True))
        worst = max(float((a - b).norm() / a.norm()) for a, b in pairs)
        return f"relative difference {worst:.1e}"

    def ours() -> list[Tensor]:
        return problem.ours().many(vectors)

    if module := package("pyhessian"):
        product = package("pyhessian.utils").hessian_vector_product
        sizes = [p.numel() for p in problem.parameters]

        def by_pyhessian() -> list[Tensor]:
            at, results = problem.pyhessian(module), []
            for v in vectors:
                parts = zip(v.split(sizes), at.params, strict=True)
                parts = product(at.gradsH, at.params, [part.view_as(p) for part, p in parts])
                results.append(torch.cat([part.flatten() for part in parts]))
            return results

        yield work, "PyHessian", ours, by_pyhessian, difference
    if things := package("hessian_eigenthings"):

        def by_eigenthings() -> list[Tensor]:
            operator = problem.eigenthings(things)
            return [operator.matvec(v) for v in vectors]

        yield work, "hessian-eigenthings", ours, by_eigenthings, difference
    if curv := package("curvlinops"):

        def by_curvlinops() -> list[Tensor]:
            return list((problem.curvlinops(curv) @ torch.stack(vectors, dim=1)).T)

        yield work, "curvlinops", ours, by_curvlinops, difference


def traces(problem: Problem, probes: int) -> Iterator[Row]:
    """Yield rows of the trace by so many products: estimates, so they differ by their errors."""
    like, work = torch.zeros(problem.size), f"trace, {probes} products"

    def ours() -> tuple[float, float]:
        result = xtrace(problem.ours(), like, torch.Generator().manual_seed(0), probes)
        return result.value, result.stderr

    def in_errors(ours: tuple[float, float], theirs: tuple[float, float]) -> str:
        words = [f"{v:.5g} ± {e:.1g}" if e else f"{v:.5g}" for v, e in (ours, theirs)]
        if not theirs[1]:
            return " beside ".join(words)
        products = math.ceil(probes * (theirs[1] / ours[1]) ** 2)
        return f"{' beside '.join(words)}, which needs {products} for our error"

    if module := package("pyhessian"):

        def by_pyhessian() -> tuple[float, float]:
            values = problem.pyhessian(module).trace(maxIter=probes, tol=0)
            return statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))

        yield work, "PyHessian, Hutchinson", ours, by_pyhessian, in_errors
    if things := package("hessian_eigenthings"):

        def by_eigenthings() -> tuple[float, float]:
            result = things.trace(problem.eigenthings(things), num_matvecs=probes, seed=0)
            return result.estimate, 0.0

        yield work, "hessian-eigenthings, Hutch++", ours, by_eigenthings, in_errors
    if (curv := package("curvlinops")) and (
        module := package("curvlinops.trace.epperly2024xtrace")
    ):

        def by_curvlinops() -> tuple[float, float]:
            return float(module.xtrace(problem.curvlinops(curv), probes)), 0.0

        yield work, "curvlinops, XTrace", ours, by_curvlinops, in_errors


def eigenvalues(problem: Problem) -> Iterator[Row]:
    """Yield rows of the largest eigenvalue, to a relative TOP_TOLERANCE or as the others stop."""
    like, work = torch.zeros(problem.size), "largest eigenvalue"

    def ours() -> float:
        generator, product = torch.Generator().manual_seed(0), problem.ours()
        v = top_eigenvector(product, like, generator, TOP_TOLERANCE).vector
        return float(v @ product(v) / (v @ v))

    def difference(ours: float, theirs: float) -> str:
        return f"{ours:.7g}; other lower by a relative {(ours - theirs) / abs(ours):.1e}"

    if module := package("pyhessian"):

        def by_pyhessian() -> float:
            at = problem.pyhessian(module)
            return at.eigenvalues(maxIter=1000, tol=TOP_TOLERANCE)[0][0]

        yield work, "PyHessian, power iteration", ours, by_pyhessian, difference
    if things := package("hessian_eigenthings"):

        def by_eigenthings() -> float:
            operator = problem.eigenthings(things)
            steps = {"k": 1, "max_iter": 100, "tol": TOP_TOLERANCE, "which": "LA", "seed": 0}
            return float(things.lanczos(operator, **steps, reorthogonalize=True).eigenvalues[0])

        yield work, "hessian-eigenthings, 100 steps", ours, by_eigenthings, difference
    if curv := package("curvlinops"):

        def by_curvlinops() -> float:
            operator = problem.curvlinops(curv).to_scipy()
            return float(eigsh(operator, 1, which="LA", tol=TOP_TOLERANCE)[0][0])

        yield work, "curvlinops with SciPy's eigsh", ours, by_curvlinops, difference


def norms(hidden: int) -> Iterator[Row]:
    """Yield the row of Frobenius and spectral norms of the linear layers of an MLP."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3072, 2 * hidden), nn.ReLU())
    model.extend([nn.Linear(2 * hidden, hidden), nn.ReLU(), nn.Linear(hidden, hidden)])

    def ours() -> list[float]:
        layers = canonical(model, (3, 32, 32)).weight_layers
        return [x for layer in layers for x in (layer.frobenius**2, layer.spectral**2)]

    def difference(ours: list[float], theirs: list[float]) -> str:
        worst = max(abs(a - b) / a for a, b in zip(ours, theirs, strict=True))
        return f"relative difference {worst:.1e}"

    def by_weightwatcher() -> list[float]:
        details = ww.WeightWatcher(model=model, log_level="ERROR").analyze()
        return [x for _, row in details.iterrows() for x in (row["norm"], row["spectral_norm"])]

    if ww := package("weightwatcher"):
        yield (
            "norms of 3 layers",
            "WeightWatcher, which also fits alpha",
            ours,
            by_weightwatcher,
            (difference),
        )


def vgg16(size: int) -> nn.Module:
    """Return torchvision's VGG-16 with random weights; at 32 pixels with one linear layer."""
    torch.manual_seed(0)
    model = torchvision.models.vgg16(weights=None).eval()
    if size < 224:
        model.avgpool = nn.Identity()
        model.classifier = nn.Linear(512 * (size // 32) ** 2, 10)
    return model


def path_norm_by_definition(model: nn.Module, shape: tuple[int, ...], p: int) -> float:
    """Return the log of the sum over paths as PATH-NORM does: |w|^p, ones, the largest of a window.

    Gonon et al., A Path-Norm Toolkit for Modern Networks, ICLR 2024; in float64.
    """
    powers = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in powers.parameters():
            parameter.copy_(parameter.abs() ** p)
        ones = torch.ones(1, *shape, dtype=parameter.dtype)
        return math.log(float(powers(ones).sum()))


def paths(size: int) -> Iterator[Row]:
    """Yield rows of path norms of a VGG-16 in float64: one, and the largest-path ones of both p."""
    model, shape = vgg16(size).double(), (3, size, size)
    network = canonical(model, shape)
    for powers in ((1,), (1, 2)):
        names = [f"l{p}_path_maxpool_unnormalized" for p in powers]

        def ours(names: Sequence[str] = names) -> list[float]:
            logs = evaluate_measures(Measured(network), MEASURES.select(names)).log10
            return [logs[name] * math.log(10) for name in names]

        def by_definition(powers: Sequence[int] = powers) -> list[float]:
            return [path_norm_by_definition(model, shape, p) * (3 - p) for p in powers]

        def difference(ours: list[float], theirs: list[float]) -> str:
            worst = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
            return f"relative difference {worst:.1e}"

        work = " and ".join(f"l{p}" for p in powers) + "-path norm"
        yield (
            f"{work} of a VGG-16, {size}x{size}",
            "PATH-NORM (stand-in)",
            ours,
            by_definition,
            (difference),
        )


def whole_measures(size: int) -> Iterator[Row]:
    """Yield the row of one measure of a VGG-16 in memory beside all that are cheap."""
    model, shape = vgg16(size), (3, size, size)
    name = "l1_path_unnormalized"

    def one() -> float:
        return gentool.measure(model, shape, only=name)["log10"][name]

    def every() -> float:
        return gentool.measure(model, shape)["log10"][name]

    def difference(one: float, every: float) -> str:
        return f"difference of log10 {abs(one - every):.1e}"

    yield f"gentool.measure(vgg16, only={name!r})", "all cheap measures", one, every, difference


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--others", help="folder of the other packages")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--probes", type=int, default=32)
    parser.add_argument("--size", type=int, default=32, help="pixels of the VGG-16's images")
    parser.add_argument("--only", default="products,trace,eigenvalue,norms,paths,vgg")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(parsed())
