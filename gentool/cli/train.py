"""`gentool train`: from options to a checkpoint."""

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from gentool.cli import options
from gentool.cli.options import existing, use_device
from gentool.console import progress, say
from gentool.errors import GentoolError, Interrupted, UsageError
from gentool.files import check_output
from gentool.recipe import Outcome, Recipe, default_stem, parse_labels
from gentool.sources import default_data_dir


def train(
    model: Annotated[
        str, typer.Option(help="vgg (the paper's), vgg11, vgg13, vgg16, vgg19 or mlp.")
    ] = "vgg",
    batch_norm: Annotated[
        bool | None,
        typer.Option(
            "--batch-norm/--no-batch-norm",
            help="After each convolution, or hidden layer of an mlp.",
            show_default="on for a VGG",
        ),
    ] = None,
    dropout: Annotated[
        float | None, typer.Option(help="Probability, after each stack.", show_default="0")
    ] = None,
    width: Annotated[
        float | None, typer.Option(help="Scales every layer of a VGG.", show_default="1")
    ] = None,
    depth: Annotated[
        int | None, typer.Option(help="Hidden layers of an mlp.", show_default="1")
    ] = None,
    hidden: Annotated[
        int | None, typer.Option(help="Units in each of them.", show_default="512")
    ] = None,
    data: Annotated[
        str, typer.Option(help="cifar10, mnist, fashion-mnist, digits, folder:DIR or npz:FILE.")
    ] = "cifar10",
    labels: Annotated[
        str, typer.Option(help="true, random, or the fraction that is random, as 0.3.")
    ] = "true",
    subset: Annotated[
        int | None, typer.Option(help="Training images to draw.", show_default="all")
    ] = None,
    confusion: Annotated[int, typer.Option(help="Further images, with random labels.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    epochs: Annotated[
        int, typer.Option(help="Epochs at most, and the length of a schedule.")
    ] = 500,
    stop_loss: Annotated[
        float,
        typer.Option(
            help="Stop at zero error and mean cross-entropy below this (evaluation mode)."
        ),
    ] = 0.01,
    optimizer: Annotated[str, typer.Option(help="sgd or adam.")] = "sgd",
    lr: Annotated[float, typer.Option(help="Learning rate, the highest of a schedule.")] = 0.01,
    momentum: Annotated[
        float | None, typer.Option(help="Momentum of sgd.", show_default="0.9")
    ] = None,
    weight_decay: Annotated[float, typer.Option(help="Weight decay, decoupled in adam.")] = 0.0,
    batch_size: Annotated[int, typer.Option(help="Images a step.")] = 64,
    schedule: Annotated[
        str, typer.Option(help="constant, cosine, one-cycle or exponential.")
    ] = "constant",
    must_fit: Annotated[
        bool, typer.Option("--must-fit", help="Exit 1 if the stop rule was not met.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run, if there is one.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Checkpoint.", show_default="named after the recipe"),
    ] = None,
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    force: options.Force = False,
    skip_existing: options.SkipExisting = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Train a network until it fits its training set, and save it as a checkpoint.

    The defaults are the paper's. The state is kept beside the output while training, for --resume.

    \b
    Example:
      gentool train --data digits --model mlp --labels random --subset 500 --force
    """
    asked = Recipe(
        model=model,
        data=data,
        labels=parse_labels(labels),
        subset=subset,
        confusion=confusion,
        seed=seed,
        optimizer=optimizer,
        lr=lr,
        momentum=_momentum(optimizer, momentum),
        weight_decay=weight_decay,
        batch_size=batch_size,
        schedule=schedule,
        epochs=epochs,
        stop_loss=stop_loss,
    )
    shape = {
        "batch_norm": batch_norm,
        "dropout": dropout,
        "width": width,
        "depth": depth,
        "hidden": hidden,
    }
    path = output or Path(f"{default_stem(asked, shape)}.safetensors")
    if not check_output(path, existing(force, skip_existing)):
        print(path)
        return
    outcome = _train(
        asked, shape, path, device, threads, data_dir or default_data_dir(), resume, force, quiet
    )
    print(path)
    if must_fit and not outcome.stop_rule_met:
        raise GentoolError(
            f"{path}: the stop rule was not met in {outcome.epochs} epochs; raise --epochs or --lr"
        )


def _momentum(optimizer: str, asked: float | None) -> float | None:
    """The momentum of the recipe: sgd's is 0.9 unless told, others have none to set."""
    if optimizer == "sgd":
        return 0.9 if asked is None else asked
    if asked is not None:
        raise UsageError(f"--momentum is an option of sgd; {optimizer} has none")
    return None


def _train(
    asked: Recipe,
    shape: dict[str, object],
    path: Path,
    device: str,
    threads: int | None,
    data_dir: Path,
    resume: bool,
    force: bool,
    quiet: bool,
) -> Outcome:
    """Train and save, with a progress bar; the state of the run is kept beside `path` meanwhile."""
    from gentool import checkpoint
    from gentool.data import load
    from gentool.models import initial_digest, with_defaults
    from gentool.training import EpochReport, check_names, is_small, train
    from gentool.training_set import training_set

    recipe = replace(asked, **with_defaults(asked.model, shape))
    check_names(recipe)
    where = use_device(device, threads)
    state = _state_of(path, resume, force, quiet)
    data = load(recipe.data, data_dir, show_progress=not quiet)
    recipe, sets = training_set(recipe, data, where)
    recipe = replace(recipe, initial_digest=initial_digest(recipe))
    if threads is None and where.type == "cpu" and is_small(recipe):
        use_device(device, threads=1)
    with progress(quiet, "loss", "error", "images_per_second") as bar:
        fields = {"loss": "-", "error": "-", "images_per_second": "-"}
        task = bar.add_task(path.stem, total=recipe.epochs, **fields)

        def show(report: EpochReport) -> None:
            bar.update(
                task,
                completed=report.epoch,
                loss=f"{report.loss:.4f}",
                error=f"{report.error:.4f}",
                images_per_second=f"{report.images_per_second:,.0f}",
            )

        try:
            model, outcome = train(
                recipe, sets, where, state_path=state, resume=resume, on_epoch=show
            )
        except KeyboardInterrupt:
            raise Interrupted(_how_to_resume(state)) from None
    checkpoint.write(path, model, recipe, outcome)
    state.unlink(missing_ok=True)
    if not quiet:
        say(_in_words(recipe, outcome))
    return outcome


def _state_of(path: Path, resume: bool, force: bool, quiet: bool) -> Path:
    """Where the state of a run that writes `path` is kept; GentoolError if one is unwanted."""
    state = path.with_name(f"{path.name}.state")
    if state.exists() and not resume:
        if not force:
            raise GentoolError(
                f"{state} holds an interrupted run; go on with --resume or start over with --force"
            )
        state.unlink()
    if resume and not quiet:
        say(f"going on from {state}" if state.exists() else f"no {state}; starting anew")
    return state


def _how_to_resume(state: Path) -> str:
    if not state.exists():
        return "interrupted in the first epoch; nothing was kept"
    again = shlex.join(argument for argument in sys.argv[1:] if argument != "--force")
    resume = "" if "--resume" in sys.argv else " --resume"
    return f"interrupted; go on with: gentool {again}{resume}"


def _in_words(recipe: Recipe, outcome: Outcome) -> str:
    """The outcome in one line."""
    rule = "stop rule met" if outcome.stop_rule_met else "stop rule NOT met"
    confusion = ""
    if outcome.confusion_error is not None:
        confusion = f", {outcome.confusion_error:.4f} on {recipe.confusion} confusion images"
    return (
        f"{rule} after {outcome.epochs} epochs: in evaluation mode cross-entropy "
        f"{outcome.train_loss:.4g}, error {outcome.train_error:.4f} on {recipe.subset} training "
        f"images{confusion}, {outcome.test_error:.4f} on the test set"
    )
