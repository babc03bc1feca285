"""The process of one NNI trial: `python -m strategies.nni.trial` in an experiment's folder.

It trains and measures what `trainers.trial.run_trial` does in every engine, and is careful about the rest: NNI ends a
trial by SIGINT and five seconds later by SIGKILL, starts it again on `nnictl resume`, and may do so while the process
of a killed manager still runs.
"""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import nni

from search_space.errors import BankwiseError
from strategies.nni import attempts
from strategies.nni.experiment import Experiment
from strategies.nni.points import Indices, Points
from strategies.nni.records import Record, TrialFolder
from trainers.loop import EpochReport
from trainers.trial import run_trial

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class ManagerGone(BankwiseError):
    """NNI's manager does not answer."""


class Cancelled(BaseException):
    """Raised wherever the process is when it is told to end."""

    def __init__(self, number: int):
        self.number = number


def main() -> int:
    """The exit code. A cancelled trial dies by the signal, which is how NNI knows it from a failed one."""
    attempt = None
    for number in SIGNALS:
        signal.signal(number, _cancel)
    try:
        folder = Path.cwd()
        experiment = Experiment.read(folder)
        parameters = nni.get_next_parameter()
        if not isinstance(parameters, dict) or not parameters:
            raise BankwiseError(f"NNI gave no parameters ({parameters!r}); `nnictl create` starts trials")
        attempt = attempts.Held(folder, nni.get_experiment_id(), nni.get_trial_id(), parameters)
        _run(folder, experiment, parameters)
        attempt.end(attempts.DONE)
        return 0
    except Cancelled as cancelled:
        if attempt is not None:
            attempt.end(attempts.CANCELLED)
        signal.signal(cancelled.number, signal.SIG_DFL)
        os.kill(os.getpid(), cancelled.number)
        raise
    except BankwiseError as error:
        if attempt is not None:
            attempt.end(attempts.STOPPED if isinstance(error, ManagerGone) else attempts.FAILED, str(error))
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 1
    except Exception as error:
        if attempt is not None:
            attempt.end(attempts.FAILED, f"{type(error).__name__}: {error}")
        raise


def _cancel(number: int, frame: FrameType | None) -> None:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)  # once is enough
    raise Cancelled(number)


def _run(folder: Path, experiment: Experiment, parameters: dict) -> None:
    points = Points(experiment.budgeted)
    indices = points.decode(parameters)
    plan = points.space.plan(indices)
    place = TrialFolder(folder, experiment.key(plan))
    with place.lock():  # against the process of a killed manager
        record = place.record()
        if record is None:
            task = experiment.task(folder)
            epochs = place.epochs()
            _tell(epochs)

            def report(epoch: EpochReport) -> None:
                epochs.append(epoch)
                _tell([epoch])

            result = run_trial(task, plan, experiment.recipe, checkpoint=place.checkpoint, report=report)
            record = place.finish(plan, result.metrics(), epochs)
        else:
            _tell(record.epochs)
    _send(nni.report_final_result, final(record, points, indices))


def _tell(epochs: Sequence[EpochReport]) -> None:
    """Every epoch in its order, those before a resume too: NNI numbers them by the calls of this process."""
    for epoch in epochs:
        values = {"default": epoch.accuracy, "loss": epoch.loss, "epoch": epoch.epoch, "epochs": epoch.epochs}
        values["seconds"] = epoch.seconds
        _send(nni.report_intermediate_result, {name: x for name, x in values.items() if math.isfinite(x)})


def _send(report: Callable[[dict], None], values: dict[str, object]) -> None:
    """Numbers must be finite: the manager's JSON has no NaN, and ends the experiment at one."""
    try:
        report(values)
    except OSError as error:  # of the connection
        line = f"NNI's manager does not answer ({type(error).__name__}); `nnictl resume` goes on with the trial"
        raise ManagerGone(line) from None


def final(record: Record, points: Points, indices: Indices) -> dict[str, object]:
    """The final metric; `plan` is what was trained, whichever parameters NNI ascribes to the job."""
    names = ("file_bytes", "paper_bits", "bits_per_weight")
    measured = {name: record.metrics[name] for name in names}
    return {"default": record.metrics["accuracy"], **measured, "plan": points.text(indices)}


if __name__ == "__main__":
    sys.exit(main())
