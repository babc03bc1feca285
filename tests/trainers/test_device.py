from __future__ import annotations

import pytest
import torch

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.space import SearchSpace
from bankwise.trainers.data import load_data
from bankwise.trainers.device import chosen_device, described
from bankwise.trainers.loop import train
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.rehearsal import rehearse
from bankwise.trainers.task import make_task


def test_a_gpu_is_taken_and_told_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Model X")
    assert chosen_device().type == "cuda" and chosen_device("cpu").type == "cpu"
    assert described() == "cuda: Model X; --device cpu trains without it"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert chosen_device().type == "cpu"
    count = torch.get_num_threads()
    assert described() == (f"cpu, up to {count} threads" if count > 1 else "cpu, 1 thread")
    assert described("cpu", 1) == "cpu, 1 thread" and described("cpu", count + 1) == f"cpu, {count + 1} threads"


def test_a_device_that_is_not_there_is_one_line():
    with pytest.raises(BankwiseError, match=r"device 'cuda:99' is none that torch finds here; auto, cpu.* are$"):
        chosen_device("cuda:99")


def test_it_is_looked_for_before_any_training():
    task = make_task("tiny", load_data("digits", limit=100), Recipe(device="cuda:99"))
    with pytest.raises(BankwiseError, match="device 'cuda:99'"):
        rehearse(task, SearchSpace(task.shape).smallest)


def test_the_recipe_says_where_a_network_is_trained(monkeypatch):
    seen = []

    monkeypatch.setattr("bankwise.trainers.loop.chosen_device", lambda name: seen.append(name) or torch.device("cpu"))
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    train(network, load_data("digits", limit=100), Recipe(epochs=1, device="mps"))
    train(network, load_data("digits", limit=100), Recipe(epochs=1, device="mps"), device="cpu")
    assert seen == ["mps"], "a device that is given overrides it"
