"""The NNI engine's name and options; NNI itself is imported when a job is run."""

from __future__ import annotations

from dataclasses import dataclass

from bankwise.search_space.errors import BankwiseError, unknown
from bankwise.search_space.ranges import in_range
from bankwise.strategies.engines.job import Engine, Job, option
from bankwise.strategies.trials import Record

SCHEDULERS = {"none": "none", "median": "Medianstop", "curvefitting": "Curvefitting"}  # and NNI's names for them


@dataclass(frozen=True)
class NniOptions:
    workers: int = option(1, "Trials at a time.")
    port: int = option(8080, "Port of NNI's web page.")
    scheduler: str | None = option(None, f"Ends poor trials early: {', '.join(SCHEDULERS)}.")

    def __post_init__(self) -> None:
        in_range(1, workers=self.workers)
        if not 1 <= self.port <= 65535:
            raise BankwiseError(f"port={self.port} is not from 1 to 65535")
        if (self.scheduler or "none") not in SCHEDULERS:
            raise unknown("scheduler of NNI", self.scheduler, SCHEDULERS)

    @property
    def assessor(self) -> str:
        """NNI's name of the scheduler."""
        return SCHEDULERS[self.scheduler or "none"]


class NniEngine(Engine):
    name = "nni"
    help = "an NNI experiment on this machine, with its web page"
    stops_early = True
    Options = NniOptions

    def check(self) -> None:
        try:
            import nni  # noqa: F401
        except ImportError as error:
            raise BankwiseError(f"the nni engine needs NNI ({error}): pip install 'bankwise[nni]'") from None

    def run(self, job: Job) -> list[Record]:
        self.check()
        from bankwise.strategies.engines.nni.engine import run_nni

        return run_nni(job, self.options)
