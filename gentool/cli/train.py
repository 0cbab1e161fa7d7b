"""Define `gentool train`: train one network or a grid of networks."""

from pathlib import Path
from typing import Annotated

import typer

from gentool.checkpoints.hints import channel_order
from gentool.cli import options
from gentool.cli.declaring import EVERYTHING, MESSAGES, Command, Excludes
from gentool.cli.lists import numbers
from gentool.cli.train_options import (
    DataOptions,
    ModelOptions,
    OptimisationOptions,
    StoppingOptions,
)
from gentool.cli.train_runs import TrainOptions, train_distributed, train_grid, train_one
from gentool.common.errors import UsageError
from gentool.common.files import Existing
from gentool.common.run_log import RunLog
from gentool.common.torchrun import is_launched
from gentool.data.reading import check_classes
from gentool.records.recipe import Recipe
from gentool.training.plan import PlannedRun, in_folder, plan_networks


class TrainCommand(Command):
    """A command whose `--batch-norm` takes a value or none, and has an opposite.

    `--batch-norm` alone is that of the model, `--no-batch-norm` is `--batch-norm none`.
    """

    def parse_args(self, ctx, args):  # noqa: ANN001, ANN201 - the types are click's, unnamed
        return super().parse_args(ctx, with_batch_norm_value(args))


def with_batch_norm_value(arguments: list[str]) -> list[str]:
    """Return the arguments with a value after every `--batch-norm`."""
    complete: list[str] = []
    for i, argument in enumerate(arguments):
        if argument == "--no-batch-norm":
            complete += ["--batch-norm", "none"]
            continue
        complete.append(argument)
        has_value = i + 1 < len(arguments) and not arguments[i + 1].startswith("-")
        if argument == "--batch-norm" and not has_value:
            complete.append("on")
    return complete


@options.shared
def train(
    ctx: typer.Context,
    *,
    data: DataOptions,
    model: ModelOptions,
    optimisation: OptimisationOptions,
    stopping: StoppingOptions,
    compile_step: Annotated[
        bool,
        typer.Option(
            "--compile",
            rich_help_panel=options.MACHINE,
            help="Compile the training pass of the network with torch.compile, which takes ten "
            "seconds to a minute. Plain MLPs have a specialized training step without it.",
        ),
    ] = False,
    keep_initial: Annotated[
        bool,
        typer.Option(
            "--keep-initial",
            rich_help_panel=options.OUTPUT,
            help="Save the network before training as STEM.initial.safetensors.",
        ),
    ] = False,
    save_every: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=options.MOST,
            rich_help_panel=options.OUTPUT,
            help="Save the network every so many epochs, as STEM.epoch0010.safetensors and so on.",
            show_default="only at the end",
        ),
    ] = None,
    keep_at: Annotated[
        str | None,
        typer.Option(
            min=0,
            max=options.LARGEST,
            metavar="X,...",
            rich_help_panel=options.OUTPUT,
            help="Save the network as STEM.loss0.1.safetensors and so on, where its loss in "
            "evaluation mode is first seen below each of these; --stop-check says when it is "
            "looked at.",
            show_default="only at the end",
        ),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(
            min=1,
            max=options.MOST_THREADS,
            rich_help_panel=options.MACHINE,
            help="Number of processes that train a grid.",
        ),
    ] = 1,
    list_names: Annotated[
        bool,
        typer.Option(
            "--list",
            rich_help_panel=MESSAGES,
            help="Print the names of models, data sets, recipes, optimizers and schedules.",
        ),
        Excludes(EVERYTHING),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            rich_help_panel=options.OUTPUT,
            help="Checkpoint to write, or folder for a grid.",
            show_default="named after the recipe",
        ),
    ] = None,
    log: options.Log = None,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait",
            rich_help_panel=options.MACHINE,
            help="Wait while another process trains the same network, and keep its result.",
            show_default="an error",
        ),
    ] = False,
    images: options.ImageReading,
    data_folder: options.DataFolder,
    machine: options.Machine,
    outputs: options.Outputs,
    messages: options.Messages,
) -> None:
    """Train a network until it fits its training set, and save it as a checkpoint.

    Training gives up, with a message, when the loss no longer falls. The state of the run is kept
    beside the output during training, for --resume, and afterwards if the stop rule was not met.

    Lists of values, as --labels true,random --lr 0.01,0.1 --seed 0,1,2, train a grid: one
    checkpoint for each combination. Checkpoints that exist are skipped, and interrupted runs are
    continued. Small MLPs are trained several at a time. File names hold the options of data and
    model, and those of training that have several values. Where a file of that name holds a network
    trained with other options, all training options that were given are in the name.

    \b
    Example:
      gentool train --data digits --model mlp --labels random --subset 500 --force
    """
    if list_names:
        _print_names()
        return
    check_classes(data.data, images.classes)
    base = Recipe(
        data=data.data,
        channels=images.channels,
        resize=images.resize,
        channel_order=channel_order(images.channels_first),
        classes=images.classes,
        draw="first" if data.first else "random",
    )
    values = model.values() | optimisation.values() | stopping.values() | data.values()
    networks = plan_networks(
        base, {name: chosen for name, chosen in values.items() if chosen is not None}
    )
    thresholds = numbers("keep-at", keep_at, float) or ()
    if not all(0 < threshold < float("inf") for threshold in thresholds):
        raise UsageError(f"--keep-at is {keep_at}; losses are positive numbers, as 0.1,0.01")
    checkpoints = {"keep_initial": keep_initial, "save_every": save_every, "keep_at": thresholds}
    train_options = TrainOptions(
        machine=machine,
        data_folder=data_folder,
        quiet=messages.quiet,
        must_fit=stopping.must_fit,
        jobs=jobs,
        is_compiled=compile_step,
        arguments=ctx.obj,
        log=None if log is None else RunLog(log),
        wait=wait,
    )
    is_grid = len(networks) > 1
    if is_grid and is_launched():
        raise UsageError("torchrun trains one network at a time; train a grid without torchrun")
    if is_launched() and compile_step:
        raise UsageError("--compile works in one process only; leave it out under torchrun")
    if is_grid or (output is not None and output.is_dir()):
        force = outputs.existing() is Existing.FORCE
        planned = in_folder(networks, output or Path(), **checkpoints)
        train_grid(planned, train_options, force, stopping.resume)
        return
    if output is None:
        [planned] = in_folder(networks, Path(), **checkpoints)
    else:
        [network] = networks
        planned = PlannedRun(network.recipe, network.model_options, output, **checkpoints)
    train_planned = train_distributed if is_launched() else train_one
    train_planned(planned, train_options, outputs.existing(), stopping.resume)


def _print_names() -> None:
    """Print the names that options choose among, each with what it stands for, on stdout."""
    from gentool.data.sources import DATASETS
    from gentool.networks.models import MODELS
    from gentool.records.presets import PRESETS
    from gentool.training.optimizers import OPTIMIZERS
    from gentool.training.schedules import SCHEDULES

    registries = {
        "--model": MODELS,
        "--data": DATASETS,
        "--recipe": PRESETS,
        "--optimizer": OPTIMIZERS,
        "--schedule": SCHEDULES,
    }
    for option, registry in registries.items():
        print(option)
        for name in registry.names:
            summary = (registry[name].__doc__ or "").partition("\n")[0]
            print(f"    {name}: {summary}" if summary else f"    {name}")
