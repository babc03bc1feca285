"""The files beside bankwise.json that NNI reads: config.yml, search_space.json and register.yml."""

from __future__ import annotations

import inspect
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from bankwise.search_space.errors import BankwiseError, unknown
from bankwise.search_space.files import write_text
from bankwise.search_space.locks import alone_in
from bankwise.search_space.ranges import in_range
from bankwise.strategies import DEFAULT, find_strategy
from bankwise.strategies.base import Strategy
from bankwise.strategies.encodings import PlanEncoding
from bankwise.strategies.engines.nni.experiment import CONFIG, Experiment
from bankwise.strategies.engines.nni.search_space import search_space
from bankwise.strategies.ledger import RETRIES

BUDGET_TUNER = "BudgetTuner"
CLASS_NAME = f"{__package__}.tuner.{BUDGET_TUNER}"
ASSESSORS = ("none", "Medianstop", "Curvefitting")
TRIAL = "bankwise.strategies.engines.nni.trial"
# NNI's refinement of GP's proposals fails with SciPy 1.11 and later; the best of its 100,000 random points is taken
GAUSSIAN = {"selection_num_starting_points": 0}
TRIED = 11  # results after which the tuners of NNI that begin at random no longer do


@dataclass(frozen=True)
class Launch:
    """How the experiment is run: nothing here changes what a trial computes. `strategy` is BudgetTuner's. With a
    `ledger`, a file in the folder, BudgetTuner proposes `trials` plans and no more, however often one is tried again;
    without, NNI starts `trials` processes."""

    tuner: str = BUDGET_TUNER
    strategy: str = DEFAULT
    trials: int = 20
    concurrency: int = 1
    assessor: str = "none"
    ledger: str | None = None

    def __post_init__(self) -> None:
        in_range(1, trials=self.trials, concurrency=self.concurrency)
        find_strategy(self.strategy)  # an error unless there is one
        if self.assessor not in ASSESSORS:
            raise unknown("assessor", self.assessor, ASSESSORS)


def write_folder(folder: Path, experiment: Experiment, launch: Launch) -> None:
    """Write the whole folder. All errors come before the first file: InfeasibleBudget, a tuner that is none, ..."""
    folder = folder.absolute()
    space = search_space(PlanEncoding(experiment.budgeted), experiment.encoding)
    config = configuration(folder, experiment, launch, space)
    experiment.check(folder)
    with alone_in(folder):
        experiment.write(folder)
        write_text(folder / "search_space.json", search_space_text(space))
        write_text(folder / "recipe.yaml", yaml.safe_dump(experiment.training.to_dict(), sort_keys=False))
        write_text(folder / "register.yml", yaml.safe_dump(registration(), sort_keys=False))
        write_text(folder / CONFIG, yaml.safe_dump(config, sort_keys=False, width=10**6))


def search_space_text(space: Mapping[str, Mapping[str, Any]]) -> str:
    """JSON with a line a layer, to be read and edited."""
    rows = (f"  {json.dumps(name)}: {json.dumps(values)}" for name, values in space.items())
    return "{\n" + ",\n".join(rows) + "\n}\n"


def configuration(
    folder: Path, experiment: Experiment, launch: Launch, space: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """NNI's configuration, schema of version 3, of an experiment on this machine."""
    source, budget = experiment.source, experiment.budgeted.budget
    made = {
        "experimentName": f"bankwise: {source.network} on {source.data} in {budget}",
        "searchSpaceFile": "search_space.json",
        "trialCommand": trial_command(launch.concurrency),
        "trialCodeDirectory": ".",
        "trialConcurrency": launch.concurrency,
        "maxTrialNumber": launch.trials if launch.ledger is None else (2 + RETRIES) * launch.trials + 100,
        "tuner": _tuner(folder, experiment, launch, space),
    }
    if launch.assessor != "none":
        made["assessor"] = {"name": launch.assessor, "classArgs": _assessor_arguments(launch, experiment)}
    if launch.tuner == BUDGET_TUNER and find_strategy(launch.strategy).prepare is not Strategy.prepare:
        made["tunerGpuIndices"] = list(range(torch.cuda.device_count())) or None  # NNI hides GPUs from a tuner
    return made | {"trainingService": {"platform": "local"}}


def trial_command(concurrency: int) -> str:
    """This Python, whatever the shell's; `exec`, so that NNI's signals reach it. Concurrent trials share the cores."""
    command = f"{shlex.quote(sys.executable)} -m {TRIAL}"
    if concurrency == 1:
        return f"exec {command}"
    threads = max(1, (os.cpu_count() or 1) // concurrency)
    return f"exec env OMP_NUM_THREADS=${{OMP_NUM_THREADS:-{threads}}} {command}"


def registration() -> dict[str, Any]:
    """For `nnictl algo register --meta`: afterwards a configuration may say `tuner: {name: BudgetTuner}`."""
    return {"algorithms": [{"algoType": "tuner", "builtinName": BUDGET_TUNER, "className": CLASS_NAME}]}


def _assessor_arguments(launch: Launch, experiment: Experiment) -> dict[str, Any]:
    if launch.assessor == "Medianstop":
        return {"optimize_mode": "maximize", "start_step": max(1, experiment.trial_epochs // 4)}
    return {"epoch_num": experiment.trial_epochs, "start_step": max(5, experiment.trial_epochs // 2)}  # it fits curves


def _tuner(
    folder: Path, experiment: Experiment, launch: Launch, space: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    if launch.tuner != BUDGET_TUNER:
        return _tuner_of_nni(launch.tuner, experiment, space)
    if experiment.encoding != "choice":
        raise BankwiseError(f"encoding {experiment.encoding!r} is for NNI's own tuners; BudgetTuner takes choices")
    arguments = {"folder": str(folder), "strategy": launch.strategy, "seed": experiment.seed}
    if launch.ledger is not None:
        arguments |= {"ledger": launch.ledger, "trials": launch.trials}
    return {"className": CLASS_NAME, "codeDirectory": str(folder), "classArgs": arguments}


def _tuner_of_nni(name: str, experiment: Experiment, space: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One of NNI's tuners, tried on the search space here: several want packages or spaces of their own, or fail after
    their random beginning."""
    try:
        from nni.runtime.log import silence_stdout
        from nni.tools.package_utils import create_builtin_class_instance, get_algo_meta, get_all_algo_meta
        from nni.tools.package_utils.tuner_factory import parse_full_class_name
    except ImportError as error:
        raise BankwiseError(f"tuner {name!r} needs NNI ({error}); pip install 'bankwise[nni]'") from None

    silence_stdout()  # what a tuner logs while it is tried

    meta = get_algo_meta(name)
    if meta is None or meta.algo_type != "tuner" or meta.is_advisor:
        known = [one.name for one in get_all_algo_meta() if one.algo_type == "tuner" and not one.is_advisor]
        raise unknown("tuner", name, dict.fromkeys([BUDGET_TUNER, *known]))
    module, cls = parse_full_class_name(meta.class_name)
    scratch = tempfile.TemporaryDirectory()
    try:
        accepted = inspect.signature(getattr(__import__(module, fromlist=[cls]), cls)).parameters
        arguments = {"optimize_mode": "maximize", "seed": experiment.seed}
        arguments = {key: value for key, value in arguments.items() if key in accepted and meta.accept_class_args}
        arguments |= GAUSSIAN if meta.name == "GP" else {}
        path = {"path": scratch.name} if "path" in accepted else {}  # where NetworkMorphism writes
        tuner = create_builtin_class_instance(meta.name, arguments | path, "tuners")
        tuner.update_search_space(json.loads(json.dumps(space)))
        points = PlanEncoding(experiment.budgeted)
        for number in range(TRIED + 1):
            (point,) = tuner.generate_multiple_parameters([number], st_callback=lambda *proposed: None)
            points.decode(json.loads(json.dumps(point)))
            tuner.receive_trial_result(number, point, {"default": number / TRIED})
            tuner.trial_end(number, True)
    except Exception as error:  # whatever the tuner raises: it is NNI's
        reason = f"{type(error).__name__}: {error}".partition("\n")[0][:160]
        raise BankwiseError(
            f"NNI's tuner {meta.name} cannot run over {experiment.encoding}s on this machine ({reason}); "
            "TPE, Random, Evolution and GP do"
        ) from None
    finally:
        scratch.cleanup()
    return {"name": meta.name, **({"classArgs": arguments} if arguments else {})}
