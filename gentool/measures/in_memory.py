"""Measure a network in memory: the function `gentool.measure`."""

import time
from collections.abc import Iterable
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor, nn

from gentool.checkpoints.evaluation import (
    Evaluated,
    LossAndError,
    Tally,
    evaluate,
    evaluation_of_arrays,
)
from gentool.checkpoints.in_memory import (
    Facts,
    ImageShape,
    Pair,
    canonical_network,
    check_alone,
    checkpoint_in_memory,
    on_device,
    test_examples,
    warn,
    with_training_set,
)
from gentool.checkpoints.load import TrainedNetwork
from gentool.checkpoints.record import assemble
from gentool.common.errors import UsageError
from gentool.common.json import Json
from gentool.data.arrays import (
    Arrays,
    Batches,
    Normalisation,
    Numbers,
    check_both,
    checked_normalisation,
    example_batches,
    joined,
    shape_of_images,
)
from gentool.data.examples import Examples, without_other_sets
from gentool.measures.margin import MARGIN_BATCH, training_margins
from gentool.measures.measure import (
    MeasureOptions,
    first_epoch_network,
    initial_network,
    measure_checkpoint,
    measured_parts,
)
from gentool.measures.measured import REL_ERROR, Measured, checked_rel_error
from gentool.measures.registry import MEASURES
from gentool.networks.canonical import Network
from gentool.numerics.device import in_double_precision, resolve


def measure(
    module: nn.Module | TrainedNetwork,
    input_shape: ImageShape | None = None,
    *,
    images: Arrays | Batches | None = None,
    labels: Arrays | None = None,
    test: Pair | Batches | None = None,
    only: str | Iterable[str] | None = None,
    epsilon: float = 0.05,
    biases: bool = True,
    initial: nn.Module | None = None,
    first_epoch: nn.Module | None = None,
    mean: Numbers | None = None,
    std: Numbers | None = None,
    recipe: Facts | None = None,
    name: str | None = None,
    device: str = "auto",
    sampling_seed: int = 0,
    rel_error: float = REL_ERROR,
    invariance: bool = False,
) -> Json:
    """Measure a network in memory without changing it; the public `gentool.measure`.

    `module` is any chain of convolutions, linear layers, batch norm, activations, max, average and
    adaptive average pooling, flattening and dropout; `input_shape` is (channels, height, width), by
    default that of the images; without both, measures that depend on the size of the images are
    None. Or it is a network of `gentool.load` or `gentool.train`, which
    brings its training set.

    `images` of shape (m, *input_shape), normalised as in training, and `labels` of shape (m,) are
    the training set, as tensors or NumPy arrays; a DataLoader as `images` holds both. Images of
    uint8 are scaled to [0, 1] and normalised by `mean` and `std`, one number for each channel. A
    network with one output f takes labels of 0 and 1, and its margins are (2y − 1) f. Without
    images the measures that need a margin are None. `test` is a pair of test images and labels, or
    a DataLoader: its error gives the generalization gap. `only` names measures or groups
    ("@norms"), None means all cheap ones; a fraction `epsilon` of the images may have a smaller
    margin than γ; without `biases` path norms leave them out; `initial` is the network before
    training, `first_epoch` that after the first epoch. Measures that are estimated by sampling
    draw with `sampling_seed`, until their standard error is below `rel_error`.

    `recipe` is what is known of the training, as fields of a recipe ({"labels": "random", "seed":
    1}), for tables and figures; `name` stands there for a file name. Networks of which the seed is
    said are averaged over it where they are alike in all other fields.

    Return the record of a measure file. Its keys are `measures` and `log10` by name (log10 is
    finite where the number itself overflows; both are None where the quantity does not exist, and
    `notes` says why), `layers`, `margin`, `evaluation` (losses: mean cross-entropies; errors:
    fractions), `checkpoint`, `recipe`, `outcome`, `command`, `notes`, `seconds` and versions.

    Raise GentoolError, naming the layer, if the network has a layer of another kind, and UsageError
    if a measure is unknown, or if images or labels do not fit the network. If the network errs on
    the images as one that was not trained on them, `evaluation` says so in its `warnings`.

    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.

    >>> import gentool, torch
    >>> module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2, bias=False))
    >>> _ = module[1].weight.data.copy_(torch.tensor([[3.0, 0.0], [0.0, 4.0]]))
    >>> images, labels = torch.eye(2).reshape(2, 1, 1, 2), [0, 1]
    >>> record = gentool.measure(module, images=images, labels=labels, only="margin,l2")
    >>> record["measures"]["margin"], round(record["measures"]["l2"], 6)
    (3.0, 2.777778)
    """
    chosen = None if only is None else tuple(only.split(",") if isinstance(only, str) else only)
    selected = MEASURES.select(chosen)
    chosen = None if chosen is None else tuple(measure.name for measure in selected)
    check_both(images, labels)
    if not 0 < epsilon < 1:
        raise UsageError(f"epsilon is {epsilon}; it has to be above 0 and below 1")
    before, after_first = (
        other.module if isinstance(other, TrainedNetwork) else other
        for other in (initial, first_epoch)
    )
    options = MeasureOptions(
        chosen,
        images is not None,
        epsilon,
        biases,
        initial=before,
        first_epoch=after_first,
        sampling_seed=sampling_seed,
        rel_error=checked_rel_error(rel_error, "rel_error"),
        invariance=invariance,
    )
    where = in_double_precision(resolve(device))
    if isinstance(module, TrainedNetwork) and images is None:
        check_alone(module, input_shape, test, mean, recipe, name)
        options = replace(options, use_data=module.has_data, data=module.data, hints=module.hints)
        sets = module.data_sets
        record = measure_checkpoint(module.checkpoint, options, device=where, data_sets=sets)
        return warn(record)
    began = time.perf_counter()
    shape = input_shape if input_shape is not None or images is None else shape_of_images(images)
    checkpoint = checkpoint_in_memory(module, shape, name, recipe, keep_network=True)
    network = canonical_network(checkpoint).to(where)
    margins, evaluation, full_recipe, sets = None, None, checkpoint.recipe, None
    if images is not None:
        normalisation = checked_normalisation(mean, std, full_recipe.input_shape[0])
        is_kept = any(measure.cost != "cheap" for measure in selected)
        margins, tally, kept = _margins(network, images, labels, normalisation, is_kept)
        full_recipe = with_training_set(checkpoint, len(margins), normalisation)
        tests = test_examples(checkpoint, test, normalisation)
        of_tests = None if tests is None else _evaluated(network, tests)
        sets = None if kept is None else without_other_sets(kept)
        evaluated = Evaluated(tally.mean, None, of_tests)
        evaluation = evaluation_of_arrays(full_recipe, len(margins), evaluated)
    before_training = cache(lambda: initial_network(full_recipe, options, network))
    net = Measured(
        network,
        margins,
        epsilon,
        biases,
        before_training,
        sets=sets,
        seed=sampling_seed,
        rel_error=rel_error,
        first_epoch=cache(lambda: first_epoch_network(full_recipe, options, network)),
    )
    return assemble(
        checkpoint,
        recipe=full_recipe,
        device=where,
        command=options.to_json(),
        began=began,
        evaluation=evaluation,
        **measured_parts(net, selected, has_invariance=invariance),
    )


def _margins(
    network: Network,
    images: Arrays | Batches,
    labels: Arrays | None,
    normalisation: Normalisation | None,
    is_kept: bool,
) -> tuple[Tensor, Tally, Examples | None]:
    """Return the margin of each image, (m,), the tally of losses and errors, and the images.

    The images of a DataLoader are never in memory all together, unless they are to be kept for
    measures that take more passes over them.
    """
    [*_, classes] = network.layers[-1].out_shape
    parts, tally, kept = [], Tally(), []
    for part in example_batches(images, labels, network.input_shape, classes, normalisation):
        part = on_device(part, network.device)
        parts.append(training_margins(network, part, tally=tally))
        kept += [part] if is_kept else []
    return torch.cat(parts), tally, joined(kept) if is_kept else None


def _evaluated(network: Network, tests: Examples) -> LossAndError:
    tests = on_device(tests, network.device)
    return evaluate(network, tests, torch.float64, MARGIN_BATCH)
