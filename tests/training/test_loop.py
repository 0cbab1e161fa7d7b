"""Training: the stop rule, seeds, resuming, schedules, and what GPUs and bfloat16 change."""

from dataclasses import replace

import pytest
import torch
from helpers.small_sets import CPU, examples, recipe, same, sets

from gentool.common.errors import GentoolError, UsageError
from gentool.data.examples import Examples
from gentool.numerics.device import cpu_threads
from gentool.records.recipe import Outcome
from gentool.training import evaluation, run
from gentool.training.evaluation import evaluate, meets_stop_rule
from gentool.training.jobs import check_names
from gentool.training.loop import train
from gentool.training.run import CheckpointPolicy
from gentool.training.schedules import SCHEDULES


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_random_labels_are_fitted_in_evaluation_mode(dropout):
    """With dropout the training-mode loss stays high, but the stop rule is still met."""
    data = sets(confusion=20)
    model, outcome = train(recipe(dropout=dropout, epochs=400), data, CPU)
    assert outcome.stop_rule_met
    assert outcome.train_error == outcome.confusion_error == 0
    loss, error = evaluate(model, data.all)
    assert error == 0
    assert loss < 0.01
    assert not model.training


def test_the_outcome_of_a_run_that_does_not_fit_says_so():
    """After two epochs the stop rule is not met; without a confusion set its values are None."""
    _, outcome = train(recipe(epochs=2), sets(), CPU)
    assert (outcome.epochs, outcome.stop_rule_met) == (2, False)
    assert outcome.train_error > 0
    assert (outcome.confusion_loss, outcome.confusion_error) == (None, None)


def test_losses_and_errors_are_means_over_each_set():
    """Logits (0, log 2, 0) everywhere: cross-entropy log 4 - log 2 for label 1, log 4 for 0."""
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    torch.nn.init.zeros_(model[1].weight)
    model[1].bias.data = torch.zeros(3)
    model[1].bias.data[1] = torch.tensor(2.0).log()
    data = replace(examples(4), labels=torch.tensor([1, 1, 1, 0]))
    loss, error = evaluate(model, data)
    assert error == 0.25
    assert loss == pytest.approx((3 * 0.6931471805599453 + 2 * 0.6931471805599453) / 4)


class Identity(torch.nn.Module):
    """Return the inputs as logits, and count the batches."""

    batches = 0

    def forward(self, images):
        self.batches += 1
        return images.flatten(1)


@pytest.mark.parametrize(
    ("gaps", "stop_loss", "batches"),
    [
        ([3, 3, 3, 3], 0.05, 4),  # each loss log(1 + exp(-3)) = 0.0486: met, known at the end
        ([3, 3, 3, 3], 0.04, 4),  # not met: known when all are summed
        ([3, 3, 3, 3], 0.03, 3),  # not met: three losses are above 4 * 0.03
        ([3, -1, 3, 3], 9.0, 2),  # not met: the second is wrong
    ],
)
def test_checking_the_stop_rule_ends_as_soon_as_it_is_broken(monkeypatch, gaps, stop_loss, batches):
    """Images one by one, logits (gap, 0), label 0: the result of a complete evaluation, sooner."""
    monkeypatch.setattr(evaluation, "EVALUATION_BATCH", 1)
    images = torch.tensor([[float(gap), 0.0] for gap in gaps]).reshape(4, 1, 1, 2)
    data = Examples(images, torch.zeros(4, dtype=torch.int64), torch.zeros(1), torch.ones(1))
    loss, error = evaluate(Identity(), data)
    network = Identity()
    assert meets_stop_rule(network, data, stop_loss) == (error == 0 and loss < stop_loss)
    assert network.batches == batches


@pytest.mark.parametrize("options", [{}, {"dropout": 0.5}, {"epochs": 20}])
def test_ending_a_check_early_changes_neither_weights_nor_outcome(monkeypatch, options):
    """Compared with checks on the whole training set; the rule is met or not."""
    monkeypatch.setattr(evaluation, "EVALUATION_BATCH", 7)
    run_recipe = recipe(**{"epochs": 400} | options)
    early, outcome = train(run_recipe, sets(), CPU)

    def complete(model, examples, stop_loss, group):
        loss, error = evaluate(model, examples, group)
        return error == 0 and loss < stop_loss

    monkeypatch.setattr(run, "meets_stop_rule", complete)
    late, outcome_late = train(run_recipe, sets(), CPU)
    assert same(early, late)
    assert outcome == outcome_late


def test_the_same_seed_gives_the_same_network_and_another_seed_another():
    first, _ = train(recipe(epochs=3), sets(), CPU)
    again, _ = train(recipe(epochs=3), sets(), CPU)
    other, _ = train(recipe(epochs=3, seed=1), sets(), CPU)
    assert same(first, again)
    assert not same(first, other)


def test_training_leaves_the_callers_random_generator_as_it_was():
    """Dropout draws from PyTorch's global generator, whose state is restored."""
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    train(recipe(epochs=2, dropout=0.5), sets(), CPU)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    "options",
    [
        {"dropout": 0.3, "schedule": "one-cycle"},
        {"batch_norm": True, "momentum": 0.9},
        {"optimizer": "adam", "schedule": "exponential"},
        {"model": "vgg", "input_shape": (3, 32, 32), "width": 0.05},
        {"momentum": 0.9, "weight_decay": 0.01},  # in a stack of one
    ],
)
def test_a_resumed_run_is_an_uninterrupted_one_bit_for_bit(tmp_path, monkeypatch, options):
    """Interrupted in the fourth of six epochs and resumed: same weights, same history."""
    run_recipe = recipe(epochs=6, **options)
    data = sets(input_shape=run_recipe.input_shape)
    whole, outcome = train(run_recipe, data, CPU)
    resumed, outcome_resumed = interrupted(run_recipe, data, CPU, tmp_path, monkeypatch)
    assert same(whole, resumed)
    assert outcome_resumed == outcome


def interrupted(run_recipe, data, device, folder, monkeypatch):
    """The network and outcome of a run that is interrupted in its fourth epoch and resumed."""
    monkeypatch.setattr(run, "SECONDS_BETWEEN_STATES", 0)

    def interrupt(report):
        if report.epoch == 4:
            raise KeyboardInterrupt

    state = folder / "run.state"
    with pytest.raises(KeyboardInterrupt):
        train(run_recipe, data, device, state_path=state, on_epoch=interrupt)
    return train(run_recipe, data, device, state_path=state, resume=True)


def test_a_state_of_another_recipe_is_refused(tmp_path):
    """The error names the option that differs, with both values."""
    state = tmp_path / "run.state"
    train(recipe(epochs=1), sets(), CPU, state_path=state)
    with pytest.raises(GentoolError, match=r"a run with seed 0, not 1; .*--force"):
        train(recipe(epochs=1, seed=1), sets(), CPU, state_path=state, resume=True)


@pytest.mark.parametrize("damage", [b"", b"not a state", None])
def test_a_damaged_state_is_refused(tmp_path, damage):
    """Empty, another kind of file, or cut short: the error names the file and --force."""
    state = tmp_path / "run.state"
    train(recipe(epochs=1), sets(), CPU, state_path=state)
    state.write_bytes(state.read_bytes()[:-500] if damage is None else damage)
    with pytest.raises(GentoolError, match=r"run\.state is no state of a run; .*--force"):
        train(recipe(epochs=1), sets(), CPU, state_path=state, resume=True)


def test_the_error_of_a_diverging_run_names_epoch_loss_and_remedy():
    run_recipe = replace(recipe(epochs=20), lr=1e30)
    with pytest.raises(GentoolError, match=r"diverged in epoch \d+ \(loss .*\); lower --lr"):
        train(run_recipe, sets(), CPU)


def test_no_batch_has_a_single_image():
    """65 images in batches of 64 would leave one, whose variance batch norm cannot take."""
    _, outcome = train(recipe(epochs=1, batch_norm=True), sets(n=65), CPU)
    assert outcome.epochs == 1


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("constant", {0: 1, 5: 1, 10: 1}),
        ("cosine", {0: 1, 5: 0.5, 10: 0}),
        ("one-cycle", {0: 0.04, 2.5: 1, 6.25: 0.5, 10: 0}),
        ("exponential", {0: 1, 0.9: 1, 2: 0.9025}),
    ],
)
def test_schedules_pass_through_their_values(name, values):
    """The factor of the learning rate after a number of ten epochs."""
    for epoch, factor in values.items():
        assert SCHEDULES[name](epoch, 10) == pytest.approx(factor, abs=1e-12)


def test_an_unknown_schedule_or_optimizer_is_an_error_that_names_the_nearest():
    with pytest.raises(UsageError, match=r"unknown schedule 'cosin' \(did you mean 'cosine'\?\)"):
        check_names(recipe(schedule="cosin"))
    with pytest.raises(UsageError, match=r"unknown optimizer 'sdg' \(did you mean 'sgd'\?\)"):
        check_names(recipe(optimizer="sdg"))


def test_stored_images_are_normalised_alike_at_once_and_by_batch(monkeypatch):
    """(v / 255 - mean) / std of uint8 images, the same to the bit both ways."""
    images = torch.arange(256, dtype=torch.uint8).reshape(16, 1, 4, 4)
    mean, std = torch.full((1, 1, 1), 0.5 * 255), torch.full((1, 1, 1), 0.25 * 255)
    data = Examples(images, torch.zeros(16, dtype=torch.int64), mean, std)
    by_batch, _ = data.batch(slice(0, 16))
    at_once, _ = data.normalised().batch(slice(0, 16))
    assert torch.equal(by_batch, at_once)
    assert by_batch[15, 0, 3, 3].item() == pytest.approx((1 - 0.5) / 0.25)


def test_bfloat16_changes_only_the_products_of_a_training_step():
    """Weights and evaluation stay float32; the network differs, and fits too."""
    plain, _ = train(recipe(epochs=400), sets(), CPU)
    model, outcome = train(recipe(epochs=400, precision="bfloat16"), sets(), CPU)
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}
    assert outcome.stop_rule_met
    assert not same(plain, model)
    assert outcome.train_loss == evaluate(model, sets().subset)[0]


ON_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


@ON_CUDA
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_gpu_fits_random_labels_as_the_cpu_does(precision):
    """A thin VGG with batch norm; uint8 images on the device."""
    run_recipe = recipe("vgg", (3, 32, 32), width=0.1, epochs=200, precision=precision)
    model, outcome = train(run_recipe, images_on("cuda"), torch.device("cuda"))
    assert outcome.stop_rule_met
    assert {p.device.type for p in model.parameters()} == {"cuda"}


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=ON_CUDA)])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_with_dropout_resumes_bit_for_bit(tmp_path, monkeypatch, device, precision):
    """On a GPU, recorded steps draw what called ones do: a resumed run calls and records again."""
    options = {"batch_size": 23, "epochs": 6, "stop_loss": 1e-9, "precision": precision}
    options |= {"width": 0.1, "batch_norm": "hidden", "dropout": 0.5}
    run_recipe, images = recipe("vgg", (3, 32, 32), **options), images_on(device)
    whole, outcome = train(run_recipe, images, torch.device(device))
    resumed, outcome_resumed = interrupted(
        run_recipe, images, torch.device(device), tmp_path, monkeypatch
    )
    assert same(whole, resumed)
    assert outcome_resumed == outcome


def images_on(device):
    """Sets of uint8 images on a device."""
    whole = sets(input_shape=(3, 32, 32))
    parts = {
        name: replace(
            part,
            images=(50 * part.images + 128).clamp(0, 255).to(device, torch.uint8),
            labels=part.labels.to(device),
            mean=128 + part.mean.to(device),
            std=50 * part.std.to(device),
        )
        for name, part in vars(whole).items()
        if isinstance(part, Examples)
    }
    return replace(whole, **parts)


@pytest.mark.parametrize(("number", "threads"), [(1, 1), (2, None)])
def test_the_outcome_tells_the_threads_of_a_vgg(tmp_path, monkeypatch, number, threads):
    """A run that is resumed with another number has other bytes, and says so."""
    options = {"width": 0.05, "batch_size": 16, "epochs": 3, "stop_loss": 1e-9}
    run_recipe, data = recipe("vgg", (3, 32, 32), **options), sets(input_shape=(3, 32, 32))
    monkeypatch.setattr(run, "SECONDS_BETWEEN_STATES", 0)
    state = tmp_path / "run.state"

    def interrupt(report):
        if report.epoch == 2:
            raise KeyboardInterrupt

    with cpu_threads(1), pytest.raises(KeyboardInterrupt):
        train(run_recipe, data, CPU, state_path=state, on_epoch=interrupt)
    with cpu_threads(number):
        _, outcome = train(run_recipe, data, CPU, state_path=state, resume=True)
    assert outcome.threads == threads
    told = "steps were computed with 1, then 2 CPU threads, which round sums otherwise"
    assert outcome.notes == (() if threads else (told,))
    assert Outcome.from_json(outcome.to_json()) == outcome


def test_a_small_network_takes_one_thread_whatever_the_process_may_use():
    with cpu_threads(2):
        assert train(recipe(epochs=2), sets(), CPU)[1].threads == 1


def test_making_a_run_reads_and_writes_nothing_until_it_is_started(tmp_path):
    """Only `start` writes the initial checkpoint and refuses a damaged state file."""
    state = tmp_path / "run.state"
    epochs = []
    policy = CheckpointPolicy(
        state, resume=True, on_checkpoint=lambda _, outcome: epochs.append(outcome.epochs)
    )
    fresh = run.Run(recipe(), sets(), CPU, policy)
    assert epochs == []
    fresh.start()
    assert epochs == [0]
    state.write_bytes(b"not a state")
    with pytest.raises(GentoolError, match="no state of a run"):
        run.Run(recipe(), sets(), CPU, policy).start()
