"""The local engine: ask, try, tell, in one process; a journal makes it survive a kill."""

from __future__ import annotations

import json
from pathlib import Path

from search_space.errors import BankwiseError
from search_space.files import write_text
from strategies.base import Strategy
from strategies.job import EngineOptions, Job
from trainers.trial import run_trial


def run_local(job: Job, options: EngineOptions | None = None) -> list[dict]:
    """Run the job's trials one after another. The journal holds the finished ones and the strategy's state."""
    if options is not None and options.workers > 1:
        raise BankwiseError(f"the local engine runs one trial at a time, not {options.workers}; use another engine")
    records = _resume(job.strategy, job.journal) if job.journal.exists() else []
    while len(records) < job.trials:
        plan = job.strategy.ask()
        if plan is None:
            break
        number = len(records)
        checkpoint = job.journal.with_name(f"{job.journal.stem}-trial-{number}.pt")
        metrics = run_trial(
            job.task,
            plan,
            job.recipe,
            checkpoint=checkpoint,
            report=lambda epoch, number=number: job.on_epoch(number, epoch),
        ).metrics()
        job.strategy.tell(plan, metrics)
        records.append({"plan": plan.to_dict(), "metrics": metrics})
        write_text(job.journal, json.dumps({"strategy": job.strategy.state_dict(), "trials": records}))
        checkpoint.unlink(missing_ok=True)
        job.on_result(number, metrics)
    return records


def _resume(strategy: Strategy, journal: Path) -> list[dict]:
    try:
        saved = json.loads(journal.read_text(encoding="utf-8"))
        records = saved["trials"]
        strategy.load_state_dict(saved["strategy"])
    except (ValueError, KeyError, TypeError) as error:
        detail = error if isinstance(error, BankwiseError) else "not a search journal"
        raise BankwiseError(f"{str(journal)!r}: {detail}; delete it to start the search again") from None
    return records
