"""One training spread over several Ray workers, by Ray Train's TorchTrainer (data parallel, torch's DDP)."""

from __future__ import annotations

import dataclasses
import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psutil
import ray
import ray.train
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer, get_device

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.files import write_bytes
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.strategies.engines.on_ray import RayOptions
from bankwise.strategies.engines.ray.cluster import check_resources, cluster, one_line
from bankwise.strategies.engines.ray.surroundings import quiet
from bankwise.trainers.group import Group
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task
from bankwise.trainers.trial import TrialResult, run_trial

FAILURES = 2  # restarts of a training whose worker died
STATE, MODEL = "training.pt", "model.bankwise"


def run_trial_together(
    task: Task,
    plan: Plan,
    recipe: Recipe,
    storage: Path,
    options: RayOptions,
    file: Path | None = None,
    checkpoint: Path | None = None,
) -> TrialResult:
    """`bankwise.trainers.trial.run_trial` by `options.together` processes of the Ray cluster that this process is
    connected to.

    Where the cluster has room for fewer, those begin; after a node's death, or a minute after one has come, as many go
    on as then have room. `storage` is a folder that every node reaches; its name is that of the run. The state after
    each epoch lies there: a training whose worker or node died goes on from it (twice at most), and so does one called
    again on the folder.
    `file` and `checkpoint` are written at the end. A plan of another network is an error before anything starts.
    """
    price(task.shape, plan)
    storage = storage.resolve()
    gpus = math.ceil(options.gpus)  # NCCL lets no two processes of a group share one
    trainer = TorchTrainer(
        _member,
        train_loop_config={"task": ray.put(task), "plan": plan.to_dict(), "recipe": recipe.to_dict()},
        torch_config=_OwnInterface(),
        scaling_config=ScalingConfig(
            num_workers=cast(Any, (1, options.together)),  # from one on: elastic
            use_gpu=gpus > 0,
            resources_per_worker={"CPU": options.cpus} | ({"GPU": gpus} if gpus else {}),
        ),
        run_config=RunConfig(
            name=storage.name,
            storage_path=str(storage.parent),
            failure_config=FailureConfig(max_failures=FAILURES),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
        ),
    )
    try:
        outcome = trainer.fit()
    except ray.train.TrainingFailedError as error:
        cause = str(error).strip().splitlines()[-1]
        raise BankwiseError(f"the training in {str(storage)!r} failed: {cause[:300]}") from error
    ended: Any = outcome  # with a checkpoint and metrics: it did not fail
    with ended.checkpoint.as_directory() as folder:
        for path, name in ((file, MODEL), (checkpoint, STATE)):
            if path is not None:
                write_bytes(path, (Path(folder) / name).read_bytes())
    return TrialResult(**ended.metrics | {"epochs": tuple(ended.metrics["epochs"])})


def train_in_full(
    task: Task, plan: Plan, recipe: Recipe, file: Path, checkpoint: Path, options: RayOptions
) -> TrialResult:
    """`run_trial_together` on the cluster of the options, or a Ray started for it; its state lies by `checkpoint`."""
    storage = checkpoint.with_suffix("").resolve()
    with quiet(), cluster(options, storage.with_suffix(".ray.txt")), one_line(storage):
        check_resources(options)
        result = run_trial_together(task, plan, recipe, storage, options, file, checkpoint)
    shutil.rmtree(storage, ignore_errors=True)
    return result


def _use_own_interface() -> None:
    """In a process of the training, before it joins: have torch talk by the network interface of its node's address in
    the cluster. Gloo by itself takes the address that the machine's own name resolves to, on many machines one which no
    other machine reaches (127.0.1.1). What the user has set stays."""
    address = ray.util.get_node_ip_address()
    for name, addresses in psutil.net_if_addrs().items():
        if address in (one.address for one in addresses):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)


_Of_Ray: Any = TorchConfig().backend_cls


class _Backend(_Of_Ray):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        worker_group.execute(_use_own_interface)
        super().on_start(worker_group, backend_config)


@dataclass
class _OwnInterface(TorchConfig):
    """torch.distributed as Ray Train sets it up, over that interface."""

    @property
    def backend_cls(self) -> type:
        return _Backend


def _member(config: dict[str, Any]) -> None:
    """One worker: take part in the training, report every epoch with the state to go on from."""
    group, recipe = Group.current(), Recipe.from_dict(config["recipe"])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)  # Ray copies it, whole, before a report returns
        if group.leads and (found := ray.train.get_checkpoint()) is not None:
            with found.as_directory() as saved:
                shutil.copy(Path(saved) / STATE, folder)

        def report(values: Mapping[str, Any]) -> None:
            saved = group.leads and (folder / STATE).exists()
            ray.train.report(dict(values), Checkpoint.from_directory(folder) if saved else None)

        result = run_trial(
            ray.get(config["task"]),
            Plan.from_dict(config["plan"], allow_code=True),
            recipe,
            file=folder / MODEL,
            checkpoint=folder / STATE,
            report=lambda epoch: report(dataclasses.asdict(epoch)),
            group=group,
            device=get_device(),
        )
        report(result.metrics())
