"""Compute the sharpness of a network in memory: three functions of `import gentool`."""

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TypedDict, Unpack

from torch import nn

from gentool.checkpoints.in_memory import (
    Facts,
    ImageShape,
    Pair,
    check_alone,
    checkpoint_in_memory,
    training_set_in_memory,
    warn,
)
from gentool.checkpoints.load import TrainedNetwork
from gentool.checkpoints.record import assemble
from gentool.common.errors import GentoolError, UsageError
from gentool.common.json import Json
from gentool.data.arrays import (
    Arrays,
    Batches,
    Numbers,
    check_both,
    checked_normalisation,
    shape_of_images,
)
from gentool.numerics.device import resolve
from gentool.sharpness.expected import ExpectedOptions
from gentool.sharpness.expected_record import ExpectedSharpnessOptions, expected_record
from gentool.sharpness.flatness_record import flatness_values, notes_on_missing
from gentool.sharpness.forward import BATCHINGS
from gentool.sharpness.inputs import SharpnessInputs, load_inputs, networks_of
from gentool.sharpness.search.baselines import METHODS
from gentool.sharpness.worst_case import SearchOptions, WorstCaseSearch
from gentool.sharpness.worst_case_record import (
    SharpnessOptions,
    worst_case_record,
)


class InMemoryOptions(TypedDict, total=False):
    """Options about a module in memory, shared by the functions of this file.

    `input_shape` is (channels, height, width), by default that of the images; `test` a pair of test
    images and labels, or a DataLoader, whose error gives the generalization gap; `mean` and `std`
    are those by which images of uint8 are normalised, one number for each channel; `recipe` is what
    is known of the training, as fields of a recipe; `name` stands in records for a file name;
    `fold_batch_norm` false perturbs the raw parameters; `batching` and `device` are those of the
    command line.
    """

    input_shape: ImageShape | None
    test: Pair | Batches | None
    mean: Numbers | None
    std: Numbers | None
    recipe: Facts | None
    name: str | None
    fold_batch_norm: bool
    batching: str
    device: str


def sharpness(
    module: nn.Module | TrainedNetwork,
    images: Arrays | Batches | None = None,
    labels: Arrays | None = None,
    *,
    alpha: float | Sequence[float] = 5e-4,
    seed: int = 0,
    method: str = "default",
    restarts: int | None = None,
    steps: int | None = None,
    budget: float | None = None,
    units: float | None = None,
    exact: bool = False,
    **options: Unpack[InMemoryOptions],
) -> Json:
    """Search the worst perturbation of a network: the largest rise of its training loss.

        max over |νᵢ| ≤ α(|wᵢ| + 1) of L(f_{w+ν}) − L(f_w)

    w are all parameters, biases included, with batch norm folded in; L is the mean cross-entropy,
    in nats, over the images. The value is evaluated in float64 at a point of the box, so that it is
    a lower bound of the maximum. The network is not changed.

    `module` is a chain of layers that `gentool.measure` takes, `images` of shape (m, C, H, W) and
    `labels` of shape (m,) are its training set: tensors, NumPy arrays, or a DataLoader as `images`
    that holds both. Images of floats are used as they are; of uint8 they are scaled to [0, 1] and
    normalised by `mean` and `std`. Or `module` is a network of `gentool.load` or `gentool.train`,
    which brings its training set: the value is then that of `gentool sharpness`.

    `alpha` is the size of the box, or several; `seed` that of the search, `restarts` its number of
    starts, `steps` its iterations for each of the best, `budget` its longest time in seconds and
    `units` its highest cost in passes over the images, for each alpha; `method` another search of
    the literature. `exact` tries all corners too, of a linear model of at most 24 parameters.

    About a module: `input_shape` is (C, H, W), by default that of the images; `test` is a pair of
    test images and labels, or a DataLoader, whose error gives the generalization gap; `mean` and
    `std` have one number for each channel; `recipe` is what is known of the training, as fields of
    a recipe, for tables and figures, and `name` stands there for a file name, as in
    `gentool.measure`. Without
    `fold_batch_norm` (true) the raw parameters are perturbed. `device` is "auto", "cpu" or "cuda";
    `batching` how candidates are evaluated, "auto" by what is fastest, which changes rounding.

    Return the record of a `.sharpness.json` file: `measures` holds `sharpness` and
    `sharpness_keskar` (over 1 + L) at the first alpha, a lower and an upper bound; `sharpness`
    `loss` and `error` before, and `points`, one for each alpha: `rise`, `loss` and `error` at the
    worst point, its starts and its cost, and `stopped` if time or cost ended it early.

    Raise GentoolError, naming the layer, for a network that cannot be treated exactly, UsageError
    if images, labels or options do not fit.

    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.

    >>> import gentool, torch
    >>> module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2))
    >>> for parameter in module.parameters():
    ...     _ = parameter.data.zero_()
    >>> images, labels = torch.eye(2).reshape(2, 1, 1, 2), torch.tensor([0, 1])
    >>> record = gentool.sharpness(module, images, labels, alpha=0.1)
    >>> round(record["measures"]["sharpness"], 6), round(record["sharpness"]["loss"], 6)
    (0.109934, 0.693147)
    """
    alphas = _checked_alphas(alpha)
    METHODS.check(method)
    _check_counts(1, restarts=restarts, steps=steps)
    if budget is not None and not budget >= 0:
        raise UsageError(f"budget is {budget}; it has to be 0 or more seconds")
    if method != "default" and units is None:
        units = 100.0
    inputs = _inputs(module, images, labels, options)
    search = SearchOptions(
        method=method,
        restarts=restarts,
        steps=steps,
        seconds=budget,
        units=units,
        seed=seed,
        batching=_batching(options),
    )
    record, results = worst_case_record(
        inputs,
        SharpnessOptions(alphas, search, inputs.network.is_folded, exact=exact, **_data_of(module)),
    )
    if results and results[-1].stopped == "interrupted":
        raise KeyboardInterrupt
    return warn(record) if isinstance(module, TrainedNetwork) else record


def expected_sharpness(
    module: nn.Module | TrainedNetwork,
    images: Arrays | Batches | None = None,
    labels: Arrays | None = None,
    *,
    alpha: float | None = None,
    rel_error: float = 0.05,
    draws: int = 20_000,
    delta: float = 0.05,
    seed: int = 0,
    **options: Unpack[InMemoryOptions],
) -> Json:
    """Sample the mean rise of the training loss under Gaussian noise, and its KL term.

        E_ν[L(f_{w+ν})] − L(f_w),  νᵢ ~ N(0, σᵢ²),  σᵢ = α(10|wᵢ| + 1),  KL = Σ wᵢ² / (2σᵢ²)

    With `alpha`, at that size of the noise; without it over a grid of sizes, with the size and the
    KL term at which the mean rise is 0.05, and the PAC-Bayes bound of the paper's equation (5),
    which guarantees nothing, and a bound of the test error that holds with probability 1 − `delta`.
    A pilot says how many draws give a standard error of `rel_error` of the value, `draws` at most.

    `module`, `images`, `labels` and `options` are those of `gentool.sharpness`, and so are the
    errors. Return the record of an `.expected.json` file: `measures` by name, and
    `expected_sharpness` with the `curve`, a row for each alpha: `value` and `stderr` in nats, `kl`,
    `bound`, `draws`.

    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.

    >>> import gentool, torch
    >>> module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2))
    >>> images, labels = torch.eye(2).reshape(2, 1, 1, 2), torch.tensor([0, 1])
    >>> record = gentool.expected_sharpness(module, images, labels, alpha=0.1)
    >>> sorted(record["measures"])
    ['expected_sharpness', 'expected_sharpness_kl_at_alpha', 'expected_sharpness_stderr']
    """
    if alpha is not None:
        alpha = _one_alpha(alpha)
    _check_counts(2, draws=draws)
    if not rel_error > 0:
        raise UsageError(f"rel_error is {rel_error}; it has to be above 0")
    if not 0 < delta < 1:
        raise UsageError(f"delta is {delta}; it has to be above 0 and below 1")
    inputs = _inputs(module, images, labels, options)
    sampling = ExpectedOptions(alpha, rel_error, draws, delta, seed)
    record, curve = expected_record(
        inputs,
        ExpectedSharpnessOptions(
            sampling, inputs.network.is_folded, _batching(options), **_data_of(module)
        ),
    )
    if curve.stopped == "interrupted":
        raise KeyboardInterrupt
    return warn(record) if isinstance(module, TrainedNetwork) else record


def flatness(
    module: nn.Module | TrainedNetwork,
    images: Arrays | Batches | None = None,
    labels: Arrays | None = None,
    *,
    alpha: float = 5e-4,
    seed: int = 0,
    rel_error: float | None = None,
    initial: nn.Module | None = None,
    **options: Unpack[InMemoryOptions],
) -> Json:
    """Compute other measures of flatness: of the Hessian, of PAC-Bayes noise, and adaptive.

    `measures` of the record that is returned holds the largest eigenvalue of the Hessian of the
    training loss (`hessian_top_eigenvalue`, a lower bound) and its trace (`hessian_trace`, with
    `hessian_trace_stderr`), the standard deviation of the Gaussian noise that costs a tenth of the
    training accuracy (`pac_bayes_sigma`; `pac_bayes_sigma_magnitude` in proportion to each weight;
    None if none does), and the largest rise of the loss where each parameter moves by a fraction
    `alpha` of itself (`sharpness_magnitude`). Trace and sigma are estimates, with `NAME_stderr`;
    with `rel_error` they take as many products and draws as that relative standard error needs.
    `flatness` of the record holds the brackets of the bisections and the eigenvalue's residual.

    From that noise, and from the box in which a point costs a tenth of the accuracy
    (`sharpness_alpha`), follow the measures of Jiang et al., equations 48 to 62: `pac_bayes_init`,
    `sharpness_orig` and so on. Some need `initial`, the network before training; of a network that
    gentool trained it is drawn again. `seed` is that of the random vectors and the search.

    `module`, `images`, `labels` and `options` are those of `gentool.sharpness`, and so are the
    errors. The values are those of `gentool sharpness --flatness`.

    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.

    >>> import gentool, torch
    >>> module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2))
    >>> images, labels = torch.eye(2).reshape(2, 1, 1, 2), torch.tensor([0, 1])
    >>> gentool.flatness(module, images, labels)["measures"]["hessian_trace"] > 0
    True
    """
    began = time.perf_counter()
    alpha = _one_alpha(alpha)
    inputs = _inputs(module, images, labels, options)
    search = WorstCaseSearch(
        inputs.network, inputs.sets.all, SearchOptions(seed=seed, batching=_batching(options))
    )
    if (reason := search.prepared.fault) is not None:
        raise GentoolError(f"there is no flatness: {reason}")
    about: Json = {}
    inputs = inputs if initial is None else replace(inputs, initial=initial)
    values = dict(flatness_values(search, alpha, about, rel_error, inputs.initial_weights))
    command = {"name": "flatness", "alpha": alpha, "seed": seed, "rel_error": rel_error}
    record = assemble(
        inputs.checkpoint,
        recipe=inputs.recipe,
        device=inputs.sets.subset.labels.device,
        command=command | {"fold_batch_norm": inputs.network.is_folded},
        began=began,
        measures=values,
        notes=notes_on_missing(values),
        evaluation=inputs.evaluation,
        layers=inputs.layers,
    ) | {"flatness": about}
    return warn(record) if isinstance(module, TrainedNetwork) else record


def _data_of(module: nn.Module | TrainedNetwork) -> dict[str, object]:
    """Return what the command of a record says about the data of a network."""
    if isinstance(module, TrainedNetwork):
        return {"data": module.data, "hints": module.hints}
    return {}


def _inputs(
    module: nn.Module | TrainedNetwork,
    images: Arrays | Batches | None,
    labels: Arrays | None,
    options: InMemoryOptions,
) -> SharpnessInputs:
    """Return a network with its training set, from its recipe or from arrays."""
    about_module = {key: options.get(key) for key in ("test", "mean", "std", "recipe", "name")}
    _check_options(options)
    shape, fold = options.get("input_shape"), options.get("fold_batch_norm", True)
    device = resolve(options.get("device", "auto"))
    check_both(images, labels)
    if isinstance(module, TrainedNetwork) and images is None:
        check_alone(module, shape, *about_module.values())
        return load_inputs(
            module.checkpoint,
            fold_batch_norm=fold,
            data=module.data,
            device=device,
            data_sets=module.data_sets,
            hints=module.hints,
        )
    if images is None:
        raise UsageError("sharpness is of the training loss; give images and labels")
    if shape is None:
        shape = shape_of_images(images)
    checkpoint = checkpoint_in_memory(module, shape, about_module["name"], about_module["recipe"])
    shape = checkpoint.recipe.input_shape
    normalisation = checked_normalisation(about_module["mean"], about_module["std"], shape[0])
    recipe, sets = training_set_in_memory(
        checkpoint, images, labels, about_module["test"], normalisation, device
    )
    perturbed, network = networks_of(checkpoint, shape, fold)
    return SharpnessInputs(
        checkpoint, recipe, perturbed, sets, is_in_memory=True, canonical=network
    )


def _batching(options: InMemoryOptions) -> str:
    batching, known = options.get("batching", "auto"), ("auto", *BATCHINGS)
    if batching not in known:
        raise UsageError(f"batching is {batching!r}; it has to be one of {', '.join(known)}")
    return batching


def _check_options(options: InMemoryOptions) -> None:
    """Raise TypeError, as Python does, for an unknown option."""
    for name in options:
        if name not in InMemoryOptions.__annotations__:
            raise TypeError(f"unexpected keyword argument {name!r}")


def _checked_alphas(alpha: float | Sequence[float]) -> tuple[float, ...]:
    """Return the alphas, each once; raise UsageError if one is out of range."""
    values = [alpha] if isinstance(alpha, int | float) else list(alpha)
    alphas = tuple(dict.fromkeys(map(float, values)))
    if not alphas or not all(0 <= value < math.inf for value in alphas):
        raise UsageError(f"alpha is {alpha}; it has to be a number, 0 or more")
    return alphas


def _one_alpha(alpha: float) -> float:
    alphas = _checked_alphas(alpha)
    if len(alphas) > 1:
        raise UsageError(f"alpha is {alpha}; give one number")
    return alphas[0]


def _check_counts(least: int, **counts: int | None) -> None:
    for name, count in counts.items():
        if count is not None and (type(count) is not int or count < least):
            raise UsageError(f"{name} is {count!r}; it has to be a whole number, {least} or more")
