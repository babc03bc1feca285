"""The training loop: what it minimizes, and that nothing can tell a resumed training from an unbroken one."""

from __future__ import annotations

import copy
import dataclasses
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.nn.functional as functional
from torch import nn

from bankwise.search_space.errors import BankwiseError
from bankwise.trainers import loop
from bankwise.trainers.averaging import TailMean
from bankwise.trainers.checkpoint import load_checkpoint
from bankwise.trainers.data import ImageData, load_data, to_input
from bankwise.trainers.evaluate import accuracy, recalibrate
from bankwise.trainers.layout import layout
from bankwise.trainers.loop import StopTraining, optimizer_steps, train
from bankwise.trainers.precision import in_bfloat16
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import make_task

ROOT = Path(__file__).parents[2]
RECIPE = Recipe(epochs=5, batch=64, seed=7, threads=1)


def network(seed: int = 0, dropout: float = 0.2) -> nn.Sequential:
    """Batch norm, dropout and a plain convolution: buffers, random numbers, layouts."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 24, 3, 2, 1, bias=False),
            nn.BatchNorm2d(24),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(96, 10),
        )


def images() -> ImageData:
    """600 digits, cropped and mirrored, so that augmentation is part of every comparison."""
    return dataclasses.replace(load_data("digits", limit=600), crop=1, flip=True)


def interrupted_by(path: Path) -> None:
    """What the killed process runs. It never comes to its end, however late the signal."""

    def report(done):
        print(done.epoch, flush=True)
        if done.epoch == RECIPE.epochs:
            time.sleep(60)

    train(network(), images(), RECIPE, checkpoint=path, report=report)


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def figures(history) -> list[tuple[int, float, float]]:
    return [(report.epoch, report.loss, report.accuracy) for report in history]


@pytest.fixture(scope="module")
def unbroken():
    model = network()
    history = train(model, images(), RECIPE)
    return weights(model), figures(history)


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine"])
def test_a_single_step_trains(schedule):
    data = load_data("digits", limit=60)
    recipe = Recipe(epochs=1, batch=100, schedule=schedule, weight_decay=0.0, recalibrate=0, lr=0.01)
    assert optimizer_steps(data, recipe) == 1
    model = network()
    before = model[0].weight.detach().clone()
    train(model, data, recipe)
    assert (model[0].weight - before).abs().max() > 0.005, "of AdamW's first step of about the learning rate"


def test_the_steps_of_a_training():
    data = load_data("digits", limit=601)  # 501 train
    for batch, steps in ((500, 1), (100, 5), (167, 3), (250, 2), (501, 1), (1000, 1), (2, 250)):
        assert optimizer_steps(data, Recipe(epochs=3, batch=batch)) == 3 * steps


def test_batch_norm_on_single_images_is_refused_before_any_training():
    data = load_data("digits", limit=60)
    with pytest.raises(BankwiseError, match="batches of 1 image: batch norm '1' cannot train.*at least 2"):
        train(network(), data, Recipe(epochs=1, batch=1))
    one = dataclasses.replace(data, train_x=data.train_x[:1], train_y=data.train_y[:1])
    with pytest.raises(BankwiseError, match="batches of 1 image"):
        train(network(), one, Recipe(epochs=1))
    with pytest.raises(BankwiseError, match="batches of 1 image"):
        make_task("tiny", data, Recipe(batch=1))
    plain = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    assert len(train(plain, data, Recipe(epochs=1, batch=1))) == 1


def test_pixels_that_stay_behind_give_the_same_training(monkeypatch):
    """Those of many bytes are not moved to the device at once."""
    data, recipe = load_data("digits", limit=100), Recipe(epochs=1, batch=30)
    trained = []
    for limit in (loop.IN_MEMORY_BYTES, 1):
        monkeypatch.setattr(loop, "IN_MEMORY_BYTES", limit)
        model = network()
        train(model, data, recipe)
        trained.append(weights(model))
    assert same(*trained)


def test_it_learns_digits():
    reports = []
    history = train(network(dropout=0), load_data("digits"), Recipe(epochs=12), report=reports.append)
    assert reports == history and [report.epoch for report in history] == list(range(1, 13))
    assert history[-1].accuracy > 0.93 and history[-1].loss < history[0].loss / 3
    assert all(report.epochs == 12 and report.seconds > 0 for report in history)


@pytest.mark.parametrize("batches", [0, 1, 10])
def test_every_epoch_ends_with_the_statistics_of_its_weights(batches):
    """What the epoch reports is the accuracy of the network with them, and the next epoch trains as without. The last
    bits of statistics are those of the layout that a training runs in."""
    data, reports = images(), []
    recipe = dataclasses.replace(RECIPE, epochs=2, recalibrate=batches)
    plain, model = network(), network()
    train(plain, data, dataclasses.replace(recipe, recalibrate=0))
    train(model, data, recipe, report=lambda report: reports.append(report.accuracy))
    assert all(torch.equal(*pair) for pair in zip(plain.parameters(), model.parameters(), strict=True))
    if batches:
        with layout(plain, True):
            recalibrate(plain, data.train_x, batches=batches)
    assert same(weights(model), weights(plain))
    assert reports[-1] == accuracy(plain, data.val_x, data.val_y, amp=in_bfloat16(recipe.amp, "cpu"))


@pytest.mark.parametrize("batches", [0, 3])
def test_a_training_ends_with_the_mean_of_its_last_weights(batches, monkeypatch):
    """2 epochs of 8 steps, the last 5 of which count; until the end it trains as without the mean. Its batch norm
    statistics are of the mean."""
    data, recipe = images(), dataclasses.replace(RECIPE, epochs=2, recalibrate=batches)
    seen = []

    class Watched(TailMean):
        def add(self, step):
            super().add(step)
            seen.append([one.detach().double() for one in self.parameters])

    plain, model = network(), network()
    without = train(plain, data, recipe)
    monkeypatch.setattr(loop, "TailMean", Watched)
    history = train(model, data, dataclasses.replace(recipe, average=0.3))
    assert len(seen) == 16 and history[0].accuracy == without[0].accuracy
    assert [one.loss for one in history] == [one.loss for one in without]
    for parameter, last, *values in zip(model.parameters(), plain.parameters(), *seen[-5:], strict=True):
        assert torch.allclose(parameter.double(), sum(values) / 5, rtol=1e-5, atol=1e-7)
        assert torch.allclose(last.double(), values[-1])
    again = copy.deepcopy(model)
    with layout(again, True):
        recalibrate(again, data.train_x, batches=batches or 10)
    assert same(weights(again), weights(model))


def test_a_mean_leaves_what_is_not_finite():
    """The logits of a supernet mask absent choices by -inf."""
    model = nn.Linear(2, 1, bias=False)
    model.weight.data = torch.tensor([[0.0, -torch.inf]])
    mean = TailMean(model, 1.0, 2)
    mean.add(0), mean.add(1), mean.give()
    assert model.weight.tolist() == [[0.0, -torch.inf]]


def test_a_killed_training_ends_with_the_same_bits(tmp_path, unbroken):
    path = tmp_path / "checkpoint"
    code = "import sys, pathlib, test_loop; test_loop.interrupted_by(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = sys.argv[2:]; {code}"]
    with subprocess.Popen(
        [*command, str(path), str(ROOT), str(Path(__file__).parent)], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout.readline() == b"1\n" and child.stdout.readline() == b"2\n"  # the first epoch is saved
        child.send_signal(signal.SIGKILL)
        assert child.wait(60) == -signal.SIGKILL
    saved = len(load_checkpoint(path)["history"])
    assert 1 <= saved < RECIPE.epochs

    model, seen = network(seed=1), []
    history = train(model, images(), RECIPE, checkpoint=path, report=lambda report: seen.append(report.epoch))
    assert seen == list(range(saved + 1, RECIPE.epochs + 1))
    assert figures(history) == unbroken[1]
    assert same(weights(model), unbroken[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "sgd"},
        {"schedule": "cosine", "channels_last": False, "amp": "on"},
        {"flips": "alternating", "shift": 2, "average": 0.5},
    ],
)
def test_ctrl_c_between_any_epochs(tmp_path, changes):
    recipe = dataclasses.replace(RECIPE, epochs=3, **changes)
    path, data, whole = tmp_path / "checkpoint", images(), network()
    wanted = figures(train(whole, data, recipe))

    def interrupt_at(epoch):
        def report(done):
            if done.epoch == epoch:
                raise KeyboardInterrupt

        return report

    for epoch, saved in ((1, 0), (2, 1), (3, 2), (3, 2)):  # an epoch whose report fails is not saved
        with pytest.raises(KeyboardInterrupt):
            train(network(seed=0 if saved < 2 else epoch), data, recipe, checkpoint=path, report=interrupt_at(epoch))
        assert (len(load_checkpoint(path)["history"]) if path.exists() else 0) == saved
    model = network(seed=4)
    assert figures(train(model, data, recipe, checkpoint=path)) == wanted
    assert same(weights(model), weights(whole))


def test_a_finished_training_returns_at_once(tmp_path):
    path, model = tmp_path / "checkpoint", network()
    history = train(model, images(), RECIPE, checkpoint=path)
    before = path.stat()
    again = network(seed=3)
    assert train(again, images(), RECIPE, checkpoint=path, report=pytest.fail) == history
    assert same(weights(again), weights(model))
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_a_report_may_stop_and_stays_stopped(tmp_path, unbroken):
    def stop(report):
        if report.epoch == 2:
            raise StopTraining

    path, model = tmp_path / "checkpoint", network()
    history = train(model, images(), RECIPE, checkpoint=path, report=stop)
    assert figures(history) == unbroken[1][:2]
    again = network(seed=3)
    assert train(again, images(), RECIPE, checkpoint=path, report=pytest.fail) == history
    assert same(weights(again), weights(model))


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    path = tmp_path / "checkpoint"
    data, recipe = images(), dataclasses.replace(RECIPE, epochs=1)
    train(network(), data, recipe, checkpoint=path)
    train(network(), data, dataclasses.replace(recipe, threads=None), checkpoint=path)
    taught = dataclasses.replace(recipe, distill=0.5)
    moved = dataclasses.replace(data, train_y=data.train_y.roll(1))
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    for model, images_, recipe_, teacher, part in [
        (network(), data, dataclasses.replace(recipe, lr=0.1), None, "lr 0.004 (now 0.1)"),
        (network(), load_data("digits", limit=500), recipe, None, "training images 500 (now 417)"),
        (network(), moved, recipe, None, "pixels and labels"),
        (other, data, recipe, None, "network"),
        (network(), data, taught, network(), "teacher"),
    ]:
        with pytest.raises(BankwiseError) as caught:
            train(model, images_, recipe_, teacher=teacher, checkpoint=path)
        assert part in str(caught.value) and str(path) in str(caught.value)
    with pytest.raises(BankwiseError, match=r"budget None \(now 4096\)"):
        train(network(), data, recipe, checkpoint=path, settings={"budget": 4096})


def test_seeds_decide_and_the_callers_random_state_is_left_alone(unbroken):
    for state in (1, 2):
        torch.manual_seed(state)
        before = torch.get_rng_state()
        model = network()
        train(model, images(), RECIPE)
        assert same(weights(model), unbroken[0])
        assert torch.equal(torch.get_rng_state(), before)
    model = network()
    train(model, images(), dataclasses.replace(RECIPE, seed=8))
    assert not same(weights(model), unbroken[0])


def test_mode_layout_and_threads_come_back():
    model = network().eval()
    model[1].train()
    threads = torch.get_num_threads()
    train(model, images(), dataclasses.replace(RECIPE, epochs=1, threads=threads + 1))
    assert torch.get_num_threads() == threads
    assert [module.training for module in model] == [index == 1 for index in range(len(model))]
    assert all(parameter.is_contiguous() for parameter in model.parameters())


class Linear(nn.Module):
    """One linear layer with both hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.free = nn.Parameter(torch.tensor(3.0))
        self.progress: list[float] = []
        self.draws: set[float] = set()
        self.batches: set[float] = set()

    def begin_step(self, progress: float) -> None:
        self.progress.append(progress)
        self.draws.add(float(torch.rand(())))

    def extra_loss(self) -> torch.Tensor:
        return 2 * self.free

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.batches.add(float(x.sum()))
        return self.linear(x.flatten(1))


def test_the_loss_is_that_of_the_papers():
    data = load_data("digits", limit=300)
    model, teacher = Linear(), Linear()
    images_, labels, (share, heat, smooth) = to_input(data.train_x), data.train_y, (0.3, 2.5, 0.1)
    with torch.no_grad():
        student, taught = model(images_), teacher(images_)
    targets = functional.one_hot(labels, 10) * (1 - smooth) + smooth / 10
    ce = -(targets * student.log_softmax(1)).sum(1).mean()
    p, q = (taught / heat).softmax(1), (student / heat).softmax(1)
    wanted = (1 - share) * ce + share * heat**2 * (p * (p / q).log()).sum(1).mean() + 6
    recipe = Recipe(
        epochs=1, batch=1000, augment=False, amp="off", label_smoothing=smooth, distill=share, temperature=heat
    )
    teacher.train()
    assert train(model, data, recipe, teacher=teacher)[0].loss == pytest.approx(float(wanted), rel=1e-5)
    assert teacher.training and all(parameter.grad is None for parameter in teacher.parameters())
    with pytest.raises(BankwiseError, match="distill is 0.3: give a teacher"):
        train(model, data, recipe)


def test_hooks_and_the_rest_of_one_image():
    data = load_data("digits", limit=300)
    assert len(data.train_y) == 250
    for batch, steps in ((83, 3), (84, 3), (125, 2), (1000, 1)):  # 250 = 3 * 83 + 1
        model = Linear()
        train(model, data, Recipe(epochs=2, batch=batch))
        assert model.progress == [step / (2 * steps) for step in range(2 * steps)]
        assert len(model.draws) == 2 * steps  # each step of each epoch has its own random numbers
        assert len(model.batches) == 2 * steps or steps == 1  # and its own images
        assert model.free < 3  # pushed down by its own loss


def test_a_resumed_network_is_where_its_last_step_was(tmp_path):
    data, recipe, path = load_data("digits", limit=300), Recipe(epochs=2, batch=125), tmp_path / "checkpoint"
    train(Linear(), data, recipe, checkpoint=path)
    model = Linear()
    train(model, data, recipe, checkpoint=path)
    assert model.progress == [3 / 4]
