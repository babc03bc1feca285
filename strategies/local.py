"""The local engine: ask, try, tell, in one process; a journal makes it survive a kill."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from search_space.errors import BankwiseError
from search_space.files import write_text
from search_space.plan import Plan
from strategies.base import Strategy

Evaluate = Callable[[int, Plan], dict]  # trial number, plan -> metrics with "accuracy"


def run_local(
    strategy: Strategy,
    evaluate: Evaluate,
    trials: int,
    journal: Path | None = None,
    report: Callable[[int, dict], None] | None = None,
) -> list[dict]:
    """Up to `trials` trials; the records {"plan", "metrics"} in their order.

    `journal` holds the finished trials and the strategy's state; called again with it, the search goes on to the
    result that it would have had.
    """
    records: list[dict] = []
    if journal is not None and journal.exists():
        records = _resume(strategy, journal)
    while len(records) < trials:
        plan = strategy.ask()
        if plan is None:
            break
        metrics = evaluate(len(records), plan)
        strategy.tell(plan, metrics)
        records.append({"plan": plan.to_dict(), "metrics": metrics})
        if journal is not None:
            write_text(journal, json.dumps({"strategy": strategy.state_dict(), "trials": records}))
        if report is not None:
            report(len(records), records[-1])
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
