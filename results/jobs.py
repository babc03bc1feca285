"""Jobs of a study side by side on the machine's cores, each result kept in a file so that a study resumes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from bankwise.search_space.files import write_text


def run_jobs(
    work: Callable[..., dict], jobs: Iterable[tuple[str, tuple]], cache: Path, workers: int | None = None
) -> dict[str, dict]:
    """{name: work(*arguments)} for jobs (name, arguments), `workers` at a time (None: one a core).

    Finished ones are read from CACHE/name.json.
    """
    jobs = dict(jobs)
    results = {name: json.loads(path.read_text()) for name in jobs if (path := cache / f"{name}.json").exists()}
    waiting = {name: arguments for name, arguments in jobs.items() if name not in results}
    workers = workers or os.cpu_count()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        futures = {pool.submit(work, *arguments): name for name, arguments in waiting.items()}
        for future in as_completed(futures):
            name = futures[future]
            results[name] = future.result()
            write_text(cache / f"{name}.json", json.dumps(results[name]))
            print(f"{len(results)}/{len(jobs)} {name} {results[name].get('accuracy', '')}", flush=True)
    return {name: results[name] for name in jobs}


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
