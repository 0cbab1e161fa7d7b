"""`gentool train`: from options to a checkpoint."""

import glob
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gentool.cli import options
from gentool.cli.options import existing, use_device
from gentool.console import progress, say
from gentool.errors import GentoolError, Interrupted
from gentool.files import Existing, check_output
from gentool.presets import training_options
from gentool.recipe import Outcome, Recipe, default_stem, parse_labels
from gentool.sources import default_data_dir

if TYPE_CHECKING:
    from torch import nn


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
    recipe: Annotated[
        str,
        typer.Option(
            help="fast, or paper (plain SGD): what the options from --lr to --patience are "
            "unless given."
        ),
    ] = "fast",
    lr: Annotated[
        float | None,
        typer.Option(
            help="Learning rate, the highest of a schedule.",
            show_default="0.05, paper 0.01, adam 0.001",
        ),
    ] = None,
    momentum: Annotated[
        float | None, typer.Option(help="Momentum of sgd.", show_default="0.9")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images a step.", show_default="64")
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            help="constant, on-stall (halved when the loss stalls), cosine, one-cycle or "
            "exponential.",
            show_default="on-stall, paper constant",
        ),
    ] = None,
    warmup: Annotated[
        float | None,
        typer.Option(
            help="Epochs over which the learning rate rises from 0.", show_default="1, paper 0"
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            help="Give up after so many epochs without a loss 1 % better; 0 for never.",
            show_default="30, paper 0",
        ),
    ] = None,
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
    weight_decay: Annotated[float, typer.Option(help="Weight decay, decoupled in adam.")] = 0.0,
    keep_initial: Annotated[
        bool,
        typer.Option(
            "--keep-initial", help="Save the network before training as STEM.initial.safetensors."
        ),
    ] = False,
    save_every: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Save the network as STEM.epoch0010.safetensors and so on, every so many epochs.",
            show_default="at the end",
        ),
    ] = None,
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

    It gives up, and says so, where the loss no longer falls. The state is kept beside the output
    while training, for --resume.

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
        weight_decay=weight_decay,
        epochs=epochs,
        stop_loss=stop_loss,
        **training_options(
            recipe,
            {
                "optimizer": optimizer,
                "lr": lr,
                "momentum": momentum,
                "batch_size": batch_size,
                "schedule": schedule,
                "warmup": warmup,
                "patience": patience,
            },
        ),
    )
    shape = {
        "batch_norm": batch_norm,
        "dropout": dropout,
        "width": width,
        "depth": depth,
        "hidden": hidden,
    }
    path = output or Path(f"{default_stem(asked, shape)}.safetensors")
    files = Files(path, keep_initial, save_every)
    if not files.check(existing(force, skip_existing), resume):
        files.print_existing()
        return
    outcome = _train(
        asked, shape, files, device, threads, data_dir or default_data_dir(), resume, force, quiet
    )
    print(path)
    if must_fit and not outcome.stop_rule_met:
        raise GentoolError(
            f"{path}: the stop rule was not met in {outcome.epochs} epochs; raise --epochs or "
            "--patience, or change --lr"
        )


def _train(
    asked: Recipe,
    shape: dict[str, object],
    files: "Files",
    device: str,
    threads: int | None,
    data_dir: Path,
    resume: bool,
    force: bool,
    quiet: bool,
) -> Outcome:
    """Train and save, with a progress bar; the state of the run is kept beside its file."""
    from gentool import checkpoint
    from gentool.data import load
    from gentool.models import initial_digest, with_defaults
    from gentool.optimizers import check_names
    from gentool.training import EpochReport, is_small, train
    from gentool.training_set import training_set

    recipe = replace(asked, **with_defaults(asked.model, shape))
    check_names(recipe)
    where = use_device(device, threads)
    state = _state_of(files.path, resume, force, quiet)
    data = load(recipe.data, data_dir, show_progress=not quiet)
    recipe, sets = training_set(recipe, data, where)
    recipe = replace(recipe, initial_digest=initial_digest(recipe))
    if threads is None and where.type == "cpu" and is_small(recipe):
        use_device(device, threads=1)

    def save(model: "nn.Module", outcome: Outcome) -> None:
        if (path := files.at(outcome.epochs)) is not None:
            checkpoint.write(path, model, recipe, outcome)
            print(path, flush=True)

    with progress(quiet, "loss", "error", "images_per_second") as bar:
        fields = {"loss": "-", "error": "-", "images_per_second": "-"}
        task = bar.add_task(files.path.stem, total=recipe.epochs, **fields)

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
                recipe,
                sets,
                where,
                state_path=state,
                resume=resume,
                save_every=files.save_every,
                on_epoch=show,
                on_checkpoint=save if files.are_several else None,
            )
        except KeyboardInterrupt:
            raise Interrupted(_how_to_resume(state)) from None
    checkpoint.write(files.path, model, recipe, outcome)
    state.unlink(missing_ok=True)
    if not quiet:
        say(_in_words(recipe, outcome))
    return outcome


@dataclass(frozen=True)
class Files:
    """The checkpoints of a run: the last, and those along the way that were asked for."""

    path: Path
    keep_initial: bool = False
    save_every: int | None = None

    @property
    def are_several(self) -> bool:
        """Whether there are any along the way."""
        return self.keep_initial or self.save_every is not None

    def at(self, epoch: int) -> Path | None:
        """The checkpoint after an epoch, 0 being the initial one; None where none is wanted."""
        if epoch == 0:
            return self._named("initial") if self.keep_initial else None
        is_wanted = self.save_every is not None and epoch % self.save_every == 0
        return self._named(f"epoch{epoch:04}") if is_wanted else None

    def _named(self, moment: str) -> Path:
        stem = self.path.name.removesuffix(".safetensors")
        return self.path.with_name(f"{stem}.{moment}.safetensors")

    def on_the_way(self) -> list[Path]:
        """Those along the way that exist."""
        initial = [self._named("initial")] if self.keep_initial else []
        stem = glob.escape(self.path.name.removesuffix(".safetensors"))
        later = self.path.parent.glob(f"{stem}.epoch*.safetensors") if self.save_every else []
        return [path for path in [*initial, *sorted(later)] if path.exists()]

    def check(self, existing: Existing, resume: bool) -> bool:
        """Whether there is anything to do; GentoolError where a file must not be written."""
        is_wanted = check_output(self.path, existing)
        if is_wanted and existing is not Existing.FORCE and not resume:
            for path in self.on_the_way():
                raise GentoolError(
                    f"{path} exists; replace it with --force, or go on with --resume"
                )
        return is_wanted

    def print_existing(self) -> None:
        """Print the paths of a run that is done, for the next command in a pipe."""
        for path in [*self.on_the_way(), self.path]:
            print(path)


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
    if outcome.gave_up:
        rule += f", gave up (no loss 1 % better in {recipe.patience} epochs)"
    confusion = ""
    if outcome.confusion_error is not None:
        confusion = f", {outcome.confusion_error:.4f} on {recipe.confusion} confusion images"
    return (
        f"{rule} after {outcome.epochs} epochs: in evaluation mode cross-entropy "
        f"{outcome.train_loss:.4g}, error {outcome.train_error:.4f} on {recipe.subset} training "
        f"images{confusion}, {outcome.test_error:.4f} on the test set"
    )
