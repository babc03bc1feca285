"""The main job: from a network, data and a budget in bytes to the best plan and a file of exactly the planned size.

Phases, each resumable: the widths of the stages where they are searched, the uncompressed network (also the teacher),
the strategy's own preparation, the search and then uniform plans by the same short trials, the finalists of both, the
final trainings over several seeds, the test set (read once, at the end).
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

from bankwise.engines import ENGINES
from bankwise.phases import Phases, Progress, Watch
from bankwise.run_folder import RunFolder
from bankwise.widths import WidthTrials, best_network, check_network, most_trials, narrowest
from search_space.budget import Budget
from search_space.errors import BankwiseError, unknown
from search_space.networks import stages
from search_space.plan import Plan
from search_space.price import price
from search_space.space import SearchSpace, SpaceSettings
from strategies import STRATEGIES, BudgetedSpace, make_strategy
from strategies.job import EngineOptions, Job
from trainers.data import ImageData, load_data
from trainers.loop import EpochReport
from trainers.recipe import Recipe
from trainers.task import Task, TaskSource, make_task
from trainers.trial import TrialResult

_COUNTS = ("trials", "uniform_trials", "finalists", "finalist_seeds", "seeds", "trial_epochs", "width_epochs")


@dataclass(frozen=True)
class SearchSettings:
    """`recipe` trains the uncompressed network and the final plans, `trial_epochs` of it a trial; `trials` plans are
    tried, `uniform_trials` uniform ones; the best `finalists` of each are trained in full, `finalist_seeds` times. The
    best of them all by the mean on the validation split, and the best uniform one beside it, are trained over `seeds`
    further seeds. `widths` are multipliers of channels, searched for every stage of the
    network before the plan is (`bankwise.widths`), by trainings of `width_epochs` (None: of `trial_epochs`)."""

    strategy: str = "evolution"
    engine: str = "local"
    trials: int = 16
    uniform_trials: int = 4
    finalists: int = 2
    finalist_seeds: int = 2
    seeds: int = 3
    seed: int = 0
    trial_epochs: int = 8
    recipe: Recipe = field(default_factory=lambda: Recipe(epochs=40))
    space: SpaceSettings = field(default_factory=SpaceSettings)
    max_ram: int | None = None
    max_ops: int | None = None
    widths: tuple[float, ...] = ()
    width_epochs: int | None = None

    def __post_init__(self):
        if self.strategy not in STRATEGIES:
            raise unknown("strategy", self.strategy, STRATEGIES)
        if self.engine not in ENGINES:
            raise unknown("engine", self.engine, ENGINES)
        for width in self.widths:
            if not 0 < width < float("inf"):
                raise BankwiseError(f"width {width:g} must be a number above 0 such as 0.5")
        if self.width_epochs is not None and not self.widths:
            raise BankwiseError(f"width_epochs={self.width_epochs} is for searched widths: give widths too")
        for name in _COUNTS:
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise BankwiseError(f"{name}={getattr(self, name)} must be at least 1")

    def work(self, network: str) -> dict[str, int]:
        """Epochs that each phase is planned to train."""
        full, finalists = self.recipe.epochs, self.finalists * self.finalist_seeds * self.recipe.epochs
        work = {}
        if self.widths:
            work["widths"] = 2 * (self.width_epochs or self.trial_epochs) * most_trials(stages(network), self.widths)
        work |= {"uncompressed": self.seeds * full, "prepare": full if STRATEGIES[self.strategy].trains_supernet else 0}
        work["search"] = self.trials * self.trial_epochs
        both = self.strategy != "uniform"
        work |= {"uniform": self.uniform_trials * self.trial_epochs} if both else {}
        work |= {"search finalists": finalists} | ({"uniform finalists": finalists} if both else {})
        return work | {"final searched": self.seeds * full, "final uniform": self.seeds * full, "test": 0}


def search(
    network: str,
    data: str | ImageData,
    budget: str | int,
    out: str | Path,
    settings: SearchSettings | None = None,
    *,
    accounting: str = "file",
    data_root: str | Path | None = None,
    limit: int | None = None,
    validation: float | None = None,
    watch: Watch | None = None,
    options: EngineOptions | None = None,
) -> dict:
    """Search, train and export; returns the summary, also in OUT/summary.json. Called again, a killed search resumes
    and a finished one returns its summary.

    `network` is a reference (`search_space.networks`), `data` a name (`trainers.data`) or the data itself, `budget` as
    in `Budget.parse`, `limit` and `validation` as in `load_data`, `options` how the engine spreads the trials. Raises
    InfeasibleBudget before any training, BankwiseError for other bad input.
    """
    settings = settings or SearchSettings()
    if settings.widths:
        check_network(network)
    source = None
    if isinstance(data, str):
        root = None if data_root is None else str(Path(data_root).resolve())
        source = TaskSource(network, data, settings.recipe, root, limit, settings.space.keep, validation)
        data = load_data(data, root=root, limit=limit, validation=validation)
    task = make_task(network, data, settings.recipe, settings.space.keep)
    limits = Budget.parse(budget, task.shape, accounting)
    smallest = task
    if settings.widths:
        smallest = make_task(narrowest(network, settings.widths), data, settings.recipe, settings.space.keep)
    space = budgeted(smallest, limits, settings)
    folder = RunFolder(out)
    folder.claim(
        {
            "network": network,
            "data": data.name,
            "training_images": len(data.train_y),
            "budget": str(budget),
            "accounting": accounting,
            **_plain(settings),
        }
    )
    return folder.finished() or _Search(task, space, folder, settings, watch, source, options).run()


def budgeted(task: Task, limits: Budget, settings: SearchSettings) -> BudgetedSpace:
    return BudgetedSpace(SearchSpace(task.shape, settings.space), limits, settings.max_ram, settings.max_ops)


def _plain(settings: SearchSettings) -> dict:
    """Settings as JSON has them: lists for tuples."""
    return json.loads(json.dumps(dataclasses.asdict(settings)))


class _Search(Phases):
    """A search under way."""

    def __init__(
        self,
        task: Task,
        space: BudgetedSpace,
        folder: RunFolder,
        settings: SearchSettings,
        watch: Watch | None,
        source: TaskSource | None,
        options: EngineOptions | None,
    ):
        super().__init__(task, folder, settings.recipe, settings.seed, settings.work(task.shape.network), watch)
        self.space, self.settings, self.source, self.options = space, settings, source, options

    def run(self) -> dict:
        begin = time.time()
        ENGINES[self.settings.engine].check(self.options or EngineOptions())
        widths = self.choose_widths() if self.settings.widths else None
        seeds = self.settings.seeds
        uncompressed = self.uncompressed(seeds)
        plan, uniform_plan = self.choose()
        plan.save(self.folder.plan)
        searched = self.final("searched", plan, seeds)
        uniform = None
        if uniform_plan is not None:
            uniform_plan.save(self.folder.uniform_plan)
            uniform = searched if uniform_plan == plan else self.final("uniform", uniform_plan, seeds)
        self.watch("test", 0, "reading the files back")
        summary = {
            "network": self.task.shape.network,
            "data": self.task.data.name,
            "budget": self.folder.read(self.folder.settings)["budget"],
            "accounting": self.space.budget.accounting,
            "budget_bytes": self.space.budget.bytes,
            **self.publish(plan, searched),
            "strategy": self.settings.strategy,
            "found_by": "uniform" if plan == uniform_plan else self.settings.strategy,
            "widths": widths,
            "baseline_uniform": None,
            "uncompressed": self.measure_networks(uncompressed),
        }
        if uniform is not None:
            cost = price(self.task.shape, uniform_plan)
            summary["baseline_uniform"] = self.measure_files(uniform) | {
                "bytes": cost.file_bytes,
                "paper_bits": cost.paper_bits,
                "plan": str(self.folder.uniform_plan),
            }
        summary["seconds"] = time.time() - begin
        self.folder.write(self.folder.summary, summary)
        return summary

    def choose_widths(self) -> dict[str, float]:
        """Go on with the network of the best widths; the validation accuracy of each that was tried."""
        settings, done = self.settings, 0

        def report(network: str, epoch: EpochReport) -> None:
            nonlocal done
            done += 1
            self.watch("widths", done, f"{network} epoch {epoch.epoch}/{epoch.epochs} accuracy {epoch.accuracy:.4f}")

        trials = WidthTrials(
            self.task.shape.network,
            self.task.data,
            self.seeded(0, settings.width_epochs or settings.trial_epochs),
            lambda task: budgeted(task, self.space.budget, settings),
            settings.space.keep,
            self.folder,
            report,
        )
        network, accuracies = best_network(trials, settings.widths)
        self.task = make_task(network, self.task.data, self.task.recipe, settings.space.keep)
        self.space = budgeted(self.task, self.space.budget, settings)
        if self.source is not None:
            self.source = dataclasses.replace(self.source, network=network)
        return accuracies

    def choose(self) -> tuple[Plan, Plan | None]:
        """The best finalist of all, and the best uniform one (None where no uniform plan is within the budget)."""
        settings = self.settings
        plans = self.finalists("search", settings.strategy, settings.trials)
        if not plans:
            raise BankwiseError(
                f"strategy {settings.strategy!r} finds no plan within the budget of {self.space.budget}; "
                "a per-layer strategy does"
            )
        if settings.strategy == "uniform":
            plan = self.best("search", plans)[0] if len(plans) > 1 else plans[0]
            return plan, plan
        uniform = self.finalists("uniform", "uniform", settings.uniform_trials)
        if not uniform:
            return self.best("search", plans)[0] if len(plans) > 1 else plans[0], None
        best, best_uniform = self.best("search", plans), self.best("uniform", uniform)
        return max(best, best_uniform, key=lambda pair: pair[1])[0], best_uniform[0]

    def best(self, phase: str, plans: list[Plan]) -> tuple[Plan, float]:
        """The finalist of the best mean validation accuracy over its seeds, and that accuracy. No seed is a final one;
        each training has another teacher, as far as there are any: plans differ in how much they hang on it."""
        settings = self.settings
        seeds = [0, *range(1 + settings.seeds, settings.seeds + settings.finalist_seeds)]
        means = [self.mean_over(seeds, phase, rank, plan) for rank, plan in enumerate(plans)]
        return max(zip(plans, means, strict=True), key=lambda pair: pair[1])

    def mean_over(self, seeds: list[int], phase: str, rank: int, plan: Plan) -> float:
        units = range(rank * len(seeds), (rank + 1) * len(seeds))
        trained = [
            self.full(f"{phase} finalists", f"{phase}-finalist-{rank}-seed{seed}", plan, seed, unit, number)
            for number, (seed, unit) in enumerate(zip(seeds, units, strict=True))
        ]
        return statistics.fmean(result["accuracy"] for result in trained)

    def finalists(self, phase: str, name: str, trials: int) -> list[Plan]:
        """Search by short trials; the plans that are the best by the validation split."""
        strategy = make_strategy(name, self.space, self.seed)
        journal = self.folder.path / f"{phase}.json"
        if not journal.exists():
            if phase == "search":
                self.watch("prepare", 0, f"strategy {name}")
            task = dataclasses.replace(self.task, recipe=self.seeded(0))
            strategy.prepare(task, self.folder.checkpoints, self.epochs("prepare", 0, task.recipe.epochs))
        recipe = self.seeded(0, self.settings.trial_epochs)

        def on_result(number: int, metrics: dict) -> None:
            self.folder.log({"phase": phase, "trial": number, **metrics})
            self.watch(phase, (number + 1) * recipe.epochs, f"accuracy {metrics['accuracy']:.4f}")

        def on_epoch(number: int, epoch: EpochReport) -> None:
            self.epochs(phase, number, recipe.epochs)(epoch)

        job = Job(strategy, self.task, recipe, trials, journal, self.source, on_epoch, on_result)
        records = ENGINES[self.settings.engine](job, self.options)
        ranked = sorted(records, key=lambda record: -record["metrics"]["accuracy"])[: self.settings.finalists]
        return [Plan.from_dict(record["plan"]) for record in ranked]

    def train_in_full(
        self, task: Task, plan: Plan, recipe: Recipe, file: Path, checkpoint: Path, report
    ) -> TrialResult:
        """By several processes, where the engine can and the options say so."""
        train, options = ENGINES[self.settings.engine].train_in_full, self.options or EngineOptions()
        if train is None or options.together == 1:
            return super().train_in_full(task, plan, recipe, file, checkpoint, report)
        return train(task, plan, recipe, file, checkpoint, options)


__all__ = ["ENGINES", "Progress", "SearchSettings", "Watch", "search"]
