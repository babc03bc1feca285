import importlib
import subprocess
import sys

import pytest
import torch

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.torchvision_import import import_torchvision


def test_import_is_idempotent_and_gives_a_working_module():
    torchvision = import_torchvision()
    assert import_torchvision() is torchvision
    v2 = importlib.import_module("torchvision.transforms.v2")
    image = v2.RandomHorizontalFlip(p=1)(torch.arange(4.0).reshape(1, 2, 2))
    assert image.flatten().tolist() == [1, 0, 3, 2]
    assert "resnet18" in torchvision.models.list_models()


def test_boxes_are_selected_with_or_without_compiled_operators():
    ops = import_torchvision().ops
    boxes = torch.tensor([[0, 0, 4, 4], [0, 0, 4, 3], [0, 0, 4, 3], [8, 8, 9, 9.0]])
    scores, classes = torch.tensor([0.6, 0.9, 0.8, 0.7]), torch.tensor([1, 1, 2, 1])
    assert ops.nms(boxes, scores, 0.5).tolist() == [1, 3]
    assert ops.batched_nms(boxes, scores, classes, 0.5).tolist() == [1, 2, 3]


def test_import_in_a_fresh_process_whatever_was_declared_before():
    script = """
import torch
other = torch.library.Library("torchvision", "FRAGMENT")
other.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from bankwise.search_space.torchvision_import import import_torchvision, _declare_operators
_declare_operators()
_declare_operators()
assert hasattr(torch.ops.torchvision, "nms") and hasattr(torch.ops.torchvision, "qnms")
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=500)


def test_missing_torchvision_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)  # python's own mark of a module that is not there
    with pytest.raises(BankwiseError, match="pip install torchvision"):
        import_torchvision()


def test_broken_torchvision_is_one_line(tmp_path, monkeypatch):
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('made for another torch\\nand more')")
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BankwiseError, match="made for another torch; install") as caught:
        import_torchvision()
    assert "\n" not in str(caught.value)
