"""A loop of the user's own: norms, the file, and the examples."""

from __future__ import annotations

import dataclasses
import runpy
from pathlib import Path

import pytest
import torch
from torch import nn

from bankwise import BankwiseError, Child, load, pack, plan, price, recalibrate, save
from bankwise.search_space.torchvision_import import import_torchvision
from bankwise.trainers.data import load_data

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def child() -> Child:
    torch.manual_seed(0)
    return Child("tiny", plan("tiny", "900B").plan)


def norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def test_going_to_eval_estimates_the_norms_of_the_latest_batches(child):
    """The first norm's mean and variance are those of its convolution's outputs over the latest two batches."""
    child = Child("tiny", child.plan, batches=2)
    batches = [torch.randn(20, 1, 8, 8) * size for size in (9.0, 1.0, 2.0)]
    for batch in batches:
        child(batch)
    child.eval()
    first = norms(child)[0]
    with torch.no_grad():
        outputs = [child.network[0][0](batch) for batch in batches[1:]]
    means = torch.stack([out.mean((0, 2, 3)) for out in outputs]).mean(0)
    variances = torch.stack([out.var((0, 2, 3)) for out in outputs]).mean(0)
    torch.testing.assert_close(first.running_mean, means, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(first.running_var, variances, rtol=1e-4, atol=1e-5)
    before = [norm.running_mean.clone() for norm in norms(child)]
    child.train()
    child.eval()  # nothing was trained in between
    assert all(torch.equal(a, norm.running_mean) for a, norm in zip(before, norms(child), strict=True))
    other = Child("tiny", child.plan)
    recalibrate(other, [[batch, torch.zeros(20)] for batch in batches[1:]])
    for mine, theirs in zip(norms(child), norms(other), strict=True):
        torch.testing.assert_close(mine.running_mean, theirs.running_mean)
    assert other.training and all(norm.training and norm.momentum == 0.1 for norm in norms(other))


def test_the_file_has_the_planned_bytes_and_the_childs_outputs(child, tmp_path):
    x = torch.randn(30, 1, 8, 8)
    child(x)
    wide = Child("tiny", dataclasses.replace(child.plan, vector_bits=32))
    wide(x)
    data = pack(wide)
    assert wide.training and len(data) == price(wide.shape, wide.plan).file_bytes
    network = load(save(wide, tmp_path / "model.bankwise"))
    torch.testing.assert_close(network(x), wide.eval()(x), rtol=1e-3, atol=1e-4)
    assert len(pack(child)) == price(child.shape, child.plan).file_bytes <= 900


def test_a_module_in_memory_starts_from_its_weights_and_is_given_to_load(tmp_path):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 3))
    chosen = plan(module, "4KiB", input_shape=(1, 8, 8), classes=3).plan
    child = Child(module, chosen)
    assert child.plan.network == "in-memory" and child.plan.layers == chosen.layers
    x = torch.randn(20, 1, 8, 8)
    before = module.eval()(x)
    child(x)
    assert torch.corrcoef(torch.stack([child.eval()(x).flatten(), before.flatten()]))[0, 1] > 0.8
    file = save(child, tmp_path / "mine.bankwise")
    with pytest.raises(BankwiseError, match="network=module"):
        load(file)
    assert torch.isfinite(load(file, network=module)(x)).all()


def test_the_file_of_a_module_in_memory_is_as_large_as_its_plan_was_priced():
    """Whatever its class is called: the file says that it was in memory."""
    kind = type("N", (nn.Sequential,), {})
    module = kind(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 3))
    report = plan(module, "2KiB", input_shape=(1, 8, 8), classes=3)
    assert len(pack(Child(module, report.plan))) == report.price.file_bytes <= 2048


def test_what_load_would_refuse_is_not_written(child, tmp_path):
    with pytest.raises(BankwiseError, match="is not a Child"):
        save(nn.Linear(2, 2), tmp_path / "no.bankwise")
    with torch.no_grad():
        norms(child)[0].weight.fill_(float("nan"))
    with pytest.raises(BankwiseError, match="not finite"):
        save(child, tmp_path / "no.bankwise")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BankwiseError, match="the plan is for network 'tiny', not for 'small'"):
        Child("small", child.plan)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda found: Child("tiny", found), "plan of type PlanReport: expected a Plan, as bankwise.plan(...).plan is"),
        (lambda found: Child(lambda: None, found.plan), "expected a name or an nn.Module"),
        (lambda found: Child("tiny", found.plan, batches=-1), "batches=-1 must be at least 0"),
        (lambda found: save(Child("tiny", found.plan), ""), "cannot write '.': it has no file name"),
    ],
    ids=["report", "function", "batches", "path"],
)
def test_what_is_given_wrongly_is_one_line(make, words):
    with pytest.raises(BankwiseError) as caught:
        make(plan("tiny", "900B"))
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_plain_loop_of_thirty_lines(tmp_path):
    loop = runpy.run_path(str(EXAMPLES / "own_loop.py"))["main"]
    assert loop(str(tmp_path / "own.bankwise"), 12) > 0.75  # it was 0.1 with running means
    assert (tmp_path / "own.bankwise").stat().st_size <= 900


def test_a_network_of_timm_is_tuned_by_its_loss_and_optimizer(tmp_path):
    import_torchvision()
    pytest.importorskip("timm", reason="the example needs timm")
    tune = runpy.run_path(str(EXAMPLES / "timm_finetune.py"))["main"]
    assert tune(str(tmp_path / "timm.bankwise"), "test_efficientnet", False, 1) > 0.4  # 0.1 is chance


def test_lightning(tmp_path):
    import_torchvision()
    pytest.importorskip("pytorch_lightning")
    loop = runpy.run_path(str(EXAMPLES / "lightning_loop.py"))["main"]
    quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    path = tmp_path / "lightning.bankwise"
    best = loop(str(path), 12, accelerator="cpu", **quiet)
    data = load_data("digits")
    right = (load(path)(data.to_input(data.val_x)).argmax(1) == data.val_y).float().mean().item()
    assert best > 0.75 and path.stat().st_size <= 900
    assert right == pytest.approx(best, abs=0.05)  # vectors are rounded to 8 bits in the file
