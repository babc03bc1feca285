"""The process of one NNI trial: `python -m bankwise.strategies.engines.nni.trial` in an experiment's folder.

It trains and measures what the trial store (`bankwise.trainers.store`) does in every engine, and is careful about the
rest: NNI ends a trial by SIGINT and five seconds later by SIGKILL, starts it again on `nnictl resume`, and may do so
while the process of a killed manager still runs.
"""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import nni

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.plan import Plan
from bankwise.strategies.encodings import PlanEncoding
from bankwise.strategies.engines.nni.experiment import Experiment
from bankwise.strategies.engines.nni.listed import note_folder
from bankwise.trainers.loop import EpochReport

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class ManagerGone(BankwiseError):
    """NNI's manager does not answer."""


class Cancelled(BaseException):
    """Raised wherever the process is when it is told to end."""

    def __init__(self, number: int):
        self.number = number


def main() -> int:
    """The exit code. A cancelled trial dies by the signal, which is how NNI knows it from a failed one."""
    for number in SIGNALS:
        signal.signal(number, _cancel)
    try:
        folder = Path.cwd()
        experiment = Experiment.read(folder)
        note_folder(nni.get_experiment_id(), folder)
        parameters = nni.get_next_parameter()
        if not isinstance(parameters, dict) or not parameters:
            raise BankwiseError(f"NNI gave no parameters ({parameters!r}); `nnictl create` starts trials")
        _run(folder, experiment, parameters)
        return 0
    except Cancelled as cancelled:
        signal.signal(cancelled.number, signal.SIG_DFL)
        os.kill(os.getpid(), cancelled.number)
        raise
    except BankwiseError as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 1


def _cancel(number: int, frame: FrameType | None) -> None:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)  # once is enough
    raise Cancelled(number)


def _run(folder: Path, experiment: Experiment, parameters: dict[str, Any]) -> None:
    space = experiment.budgeted
    plan = space.plan(PlanEncoding(space).decode(parameters))
    record = experiment.store(folder).run(lambda: experiment.task(folder), plan, experiment.recipe, _report)
    if record.metrics is None:
        raise BankwiseError(f"the trial {record.status}: {record.reason}")
    _send(nni.report_final_result, final(record.metrics, plan))


def _report(epoch: EpochReport) -> None:
    """Every epoch in its order, those before a resume too: NNI numbers them by the calls of this process."""
    values = {"default": epoch.accuracy, "loss": epoch.loss, "epoch": epoch.epoch, "epochs": epoch.epochs}
    values["seconds"] = epoch.seconds
    _send(nni.report_intermediate_result, {name: x for name, x in values.items() if math.isfinite(x)})


def _send(report: Callable[[dict[str, Any]], None], values: dict[str, Any]) -> None:
    """Numbers must be finite: the manager's JSON has no NaN, and ends the experiment at one."""
    try:
        report(values)
    except OSError as error:  # of the connection
        line = f"NNI's manager does not answer ({type(error).__name__}); `nnictl resume` goes on with the trial"
        raise ManagerGone(line) from None


def final(metrics: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """The final metric; `plan` is what was trained, whichever parameters NNI ascribes to the job."""
    names = ("file_bytes", "paper_bits", "bits_per_weight")
    measured = {name: metrics[name] for name in names}
    return {"default": metrics["accuracy"], **measured, "plan": plan.text}


if __name__ == "__main__":
    sys.exit(main())
