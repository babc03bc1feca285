"""One training spread over several Ray workers, by Ray Train's TorchTrainer (data parallel, torch's DDP)."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from pathlib import Path

import ray
import ray.train
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer, get_device

from search_space.errors import BankwiseError
from search_space.files import write_bytes
from search_space.plan import Plan
from search_space.price import price
from strategies.job import EngineOptions
from strategies.ray.cluster import check_resources, cluster, one_line
from strategies.ray.interface import OwnInterface
from strategies.ray.surroundings import quiet
from trainers.group import Group
from trainers.loop import EpochReport
from trainers.recipe import Recipe
from trainers.task import Task
from trainers.trial import TrialResult, run_trial

FAILURES = 2  # restarts of a training whose worker died
STATE, MODEL, RESULT = "training.pt", "model.bankwise", "result.json"


def run_trial_together(
    task: Task,
    plan: Plan,
    recipe: Recipe,
    storage: Path,
    options: EngineOptions,
    file: Path | None = None,
    checkpoint: Path | None = None,
) -> TrialResult:
    """`trainers.trial.run_trial` by `options.together` processes of the Ray cluster that this process is connected to.

    Where the cluster has room for fewer, those begin; after a node's death, or a minute after one has come, as many go
    on as then have room. `storage` is a folder that every node reaches; its name is that of the run. The state after
    each epoch lies there: a training whose worker or node died goes on from it (twice at most), and so does one called
    again on the folder.
    `file` and `checkpoint` are written at the end. A plan of another network is an error before anything starts.
    """
    price(task.shape, plan)
    storage = storage.resolve()
    trainer = TorchTrainer(
        _member,
        train_loop_config={"task": ray.put(task), "plan": plan.to_dict(), "recipe": recipe.to_dict()},
        torch_config=OwnInterface(),
        scaling_config=ScalingConfig(
            num_workers=(1, options.together),
            use_gpu=options.gpus > 0,
            resources_per_worker=_resources(options),
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
    with outcome.checkpoint.as_directory() as folder:
        values = json.loads((Path(folder) / RESULT).read_text(encoding="utf-8"))
        if file is not None:
            write_bytes(file, (Path(folder) / MODEL).read_bytes())
        if checkpoint is not None:
            write_bytes(checkpoint, (Path(folder) / STATE).read_bytes())
    return TrialResult(**values | {"epochs": tuple(values["epochs"])})


def train_in_full(
    task: Task, plan: Plan, recipe: Recipe, file: Path, checkpoint: Path, options: EngineOptions
) -> TrialResult:
    """`run_trial_together` on the cluster of the options, or a Ray started for it; its state lies by `checkpoint`."""
    storage = checkpoint.with_suffix("").resolve()
    with quiet(), cluster(options, storage.with_suffix(".ray.txt")), one_line(storage):
        check_resources(options)
        result = run_trial_together(task, plan, recipe, storage, options, file, checkpoint)
    shutil.rmtree(storage, ignore_errors=True)
    return result


def _resources(options: EngineOptions) -> dict[str, float]:
    """Of a process: as of a trial, but of whole GPUs, since NCCL lets no two processes of a group share one."""
    return {"CPU": options.cpus} | ({"GPU": math.ceil(options.gpus)} if options.gpus else {})


def _member(config: dict) -> None:
    """One worker: take part in the training, report every epoch with the state to go on from."""
    group, recipe = Group.current(), Recipe.from_dict(config["recipe"])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        state = folder / STATE
        if group.leads and (found := ray.train.get_checkpoint()) is not None:
            with found.as_directory() as saved:
                shutil.copy(Path(saved) / STATE, state)

        def report(epoch: EpochReport) -> None:
            values = {"epoch": epoch.epoch, "loss": epoch.loss, "accuracy": epoch.accuracy}
            ray.train.report(values, _checkpoint(folder, STATE) if group.leads and state.exists() else None)

        result = run_trial(
            ray.get(config["task"]),
            Plan.from_dict(config["plan"]),
            recipe,
            file=folder / MODEL,
            checkpoint=state,
            report=report,
            group=group,
            device=get_device(),
        )
        if group.leads:
            (folder / RESULT).write_text(json.dumps(result.metrics()), encoding="utf-8")
        ray.train.report(
            {"accuracy": result.accuracy, "file_bytes": result.file_bytes, "bits_per_weight": result.bits_per_weight},
            _checkpoint(folder, STATE, MODEL, RESULT) if group.leads else None,
        )


def _checkpoint(folder: Path, *names: str) -> Checkpoint:
    """A checkpoint of copies: the files themselves go on changing."""
    copies = Path(tempfile.mkdtemp(dir=folder))
    for name in names:
        shutil.copy(folder / name, copies / name)
    return Checkpoint.from_directory(copies)
