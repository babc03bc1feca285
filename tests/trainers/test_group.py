"""Training by several processes of torch.distributed (gloo, real processes) against one process alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from bankwise.search_space.errors import BankwiseError
from bankwise.trainers.data import load_data
from bankwise.trainers.group import Group
from bankwise.trainers.loop import StopTraining, train
from bankwise.trainers.recipe import Recipe

ROOT = Path(__file__).parents[2]
RECIPE = Recipe(epochs=2, batch=50, lr=1e-3, seed=3, threads=1, channels_last=False, amp="off")


class Doubled(nn.BatchNorm2d):
    """A subclass: what is behind the norm in its forward pass stays there."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


def network(norm: bool) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        middle = Doubled(8) if norm else nn.Identity()  # which takes any bias away
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1, bias=not norm),
            middle,
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(32, 10),
        )


def member(rank: int, size: int, folder: Path, norm: bool, ends: bool) -> None:
    """What a process of the group runs: train (to the end, or till the report `ends` it), then leave what it has."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    model, reported = network(norm), []

    def report(epoch):
        reported.append(epoch.epoch)
        if ends and rank == 0:
            raise StopTraining

    data, group = load_data("digits", limit=305), Group.current()
    history = train(model, data, RECIPE, checkpoint=folder / "training.pt", report=report, group=group)
    torch.save(model.state_dict(), folder / f"weights-{rank}.pt")
    (folder / f"seen-{rank}.json").write_text(json.dumps([reported, [epoch.loss for epoch in history]]))
    torch.distributed.destroy_process_group()


def run(size: int, folder: Path, norm: bool = False, ends: bool = False) -> tuple[list[dict], list]:
    code = "import sys, pathlib; sys.path[:0] = sys.argv[4:]; import test_group; a = sys.argv; "
    code += f"test_group.member(int(a[1]), int(a[2]), pathlib.Path(a[3]), {norm}, {ends})"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(rank), str(size), str(folder), str(ROOT), str(Path(__file__).parent)]
        )
        for rank in range(size)
    ]
    try:
        assert [process.wait(120) for process in processes] == [0] * size
    finally:
        for process in processes:
            process.kill()
    weights = [torch.load(folder / f"weights-{rank}.pt", weights_only=True) for rank in range(size)]
    return weights, [json.loads((folder / f"seen-{rank}.json").read_text()) for rank in range(size)]


def alone(norm: bool = False) -> tuple[nn.Module, list]:
    model = network(norm)
    return model, train(model, load_data("digits", limit=305), RECIPE)


def test_two_processes_take_the_steps_of_one(tmp_path):
    weights, seen = run(2, tmp_path)
    model, history = alone()
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(weights[0][name], tensor, rtol=1e-3, atol=1e-5)
        assert torch.equal(weights[0][name], weights[1][name])
    assert [reported for reported, _ in seen] == [[1, 2], [1, 2]]
    assert seen[0][1] == pytest.approx([epoch.loss for epoch in history], rel=1e-4)
    assert seen[0][1] == seen[1][1]


def test_batch_norm_sees_the_whole_batch(tmp_path):
    """Weights, running statistics and losses are those of one process."""
    weights, seen = run(2, tmp_path, norm=True)
    model, history = alone(norm=True)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(weights[0][name], tensor, rtol=1e-3, atol=1e-4)
        assert torch.equal(weights[0][name], weights[1][name])
    assert seen[0][1] == pytest.approx([epoch.loss for epoch in history], rel=1e-4)


def test_a_report_ends_every_process_and_one_alone_reads_their_checkpoint(tmp_path):
    weights, seen = run(2, tmp_path, ends=True)
    assert [len(losses) for _, losses in seen] == [1, 1]
    model = network(norm=False)
    history = train(model, load_data("digits", limit=305), RECIPE, checkpoint=tmp_path / "training.pt")
    assert [epoch.loss for epoch in history] == seen[0][1], "the training stays ended"
    assert all(torch.equal(weights[0][name], tensor) for name, tensor in model.state_dict().items())


def test_a_batch_must_hold_two_images_a_process():
    with pytest.raises(BankwiseError, match="batch 5 is too small for 3 processes: at least 6"):
        Group(0, 3).check(5)


def test_shares_part_a_batch_and_weights_average_to_the_whole():
    batch = torch.arange(11)
    groups = [Group(rank, 3) for rank in range(3)]
    assert sorted(torch.cat([group.share(batch) for group in groups]).tolist()) == list(range(11))
    values = torch.rand(11)
    mean = sum(group.weight(batch) * values[group.share(batch)].mean() for group in groups) / 3
    assert mean == pytest.approx(float(values.mean()))
