"""What `nnictl resume` does with the trials that were under way, and what it forgets.

NNI starts again, with the same job and parameters, the jobs that its database calls waiting or running. It keeps
elsewhere, and loses, parameters that it had asked for and not yet submitted, and those that another job took over.
"""

from __future__ import annotations

from pathlib import Path

from strategies.nni import attempts
from strategies.nni.database import RESUMED, RUNNING, WAITING, TrialJob, trial_jobs
from strategies.nni.points import Points
from strategies.nni.proposals import Proposals

START = 15.0  # seconds that a tuner can take to start: NNI waits ten


def jobs_run_again(experiment: Path, began: float) -> list[TrialJob]:
    """The jobs of NNI's experiment folder that it starts again; `began`: when the tuner did, seconds since 1970."""
    return [
        job
        for job in trial_jobs(experiment)
        # a job that an earlier resume marked, and that was killed before it ran, is not started again
        if job.status in (WAITING, RUNNING) or (job.status == RESUMED and job.time >= 1000 * (began - START))
    ]


def recover(proposals: Proposals, points: Points, again: list[TrialJob], earlier: list[attempts.Attempt]) -> None:
    """Sort the pending plans, given the jobs that NNI runs `again` and the `earlier` attempts not yet acted on.

    A plan that NNI runs stays pending. One whose trial was cancelled or crashed is treated so. The others were lost,
    or were stopped with the experiment under another job's name: they are proposed again, in their order.
    """
    running = {(job.parameter_id, _fixed(job.parameters)) for job in again}
    stopped = {job.id for job in again}
    last = {_fixed(attempt.parameters): attempt for attempt in earlier if attempt.job not in stopped}
    for number, plan in list(proposals.pending.items()):
        parameters = _fixed(points.encode(plan))
        if (number, parameters) in running:
            continue
        attempt = last.get(parameters)
        if attempt is None or attempt.state in (attempts.RUNNING, attempts.DONE, attempts.STOPPED):
            proposals.lost(plan)
        elif attempt.state == attempts.CANCELLED:
            proposals.cancelled(plan)
        else:
            proposals.crashed(plan)


def _fixed(parameters: object) -> object:
    return frozenset(parameters.items()) if isinstance(parameters, dict) else repr(parameters)
