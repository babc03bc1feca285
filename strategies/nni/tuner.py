"""`BudgetTuner`: every ask/tell strategy as a tuner of NNI.

NNI gives up on a tuner that has not reported ten seconds after it was started, and importing PyTorch alone can take as
long. So this module imports only NNI, a configuration names it by its folder and not by its package, and all else is
imported at the first call.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from nni import NoMoreTrialError
from nni.tuner import Tuner

if TYPE_CHECKING:
    from strategies.nni.search import Search

log = logging.getLogger("bankwise.nni")
IN_DISPATCHER = os.environ.get("SDK_PROCESS") == "dispatcher"  # the process that NNI starts for its tuner


def _alone(method: Callable) -> Callable:
    """One call at a time, NNI makes them from two threads; what changed is on disk before a call ends.

    An error ends NNI's dispatcher, and half a minute later the experiment, visibly: it would wait for ever otherwise.
    """

    @functools.wraps(method)
    def call(self: BudgetTuner, *arguments, **options):
        with self._lock:
            try:
                result = method(self, *arguments, **options)
                self.search.save()
                return result
            except NoMoreTrialError:
                self.search.save()
                raise
            except Exception as error:
                log.exception("the tuner cannot go on: %s", error)
                if IN_DISPATCHER:
                    os._exit(1)
                raise

    return call


class BudgetTuner(Tuner):
    """Proposes plans within the budget of the experiment in `folder` (`bankwise nni init`), by `strategy` and `seed`.

    A parameter is a choice's code for every layer. Results of other experiments over the same layers can be imported.
    The search space may be edited while the experiment runs: fewer choices of a layer narrow the search.
    """

    def __init__(self, folder: str, strategy: str = "evolution", seed: int = 0):
        super().__init__()
        self._arguments = (Path(folder), strategy, seed)
        self._lock = threading.RLock()
        self._search: Search | None = None
        self._began, self._resumed = time.time(), False

    @property
    def search(self) -> Search:
        """Opened at its first use. Raises BankwiseError where the folder holds no experiment."""
        if self._search is None:
            from strategies.nni import watchdog
            from strategies.nni.search import Search

            place = self.get_checkpoint_path()
            resumed = self._began if self._resumed else None
            self._search = Search(*self._arguments, Path(place) if place else None, resumed)
            if IN_DISPATCHER:
                watchdog.watch(self._search.name)
        return self._search

    def load_checkpoint(self) -> None:
        """NNI resumes the experiment; it says so before anything else."""
        self._resumed = True

    def save_checkpoint(self) -> None:
        """It is saved at every change."""

    @_alone
    def update_search_space(self, search_space: Mapping) -> None:
        self.search.narrow(search_space)

    @_alone
    def generate_multiple_parameters(self, parameter_id_list: list[int], **options) -> list[dict[str, str]]:
        """After a resume NNI asks for a full set of new trials beside those that it runs again; they would be proposed
        ahead of results to come, so that many are held back: NNI asks again at the end of each."""
        held, self.search.held = self.search.held, 0
        return super().generate_multiple_parameters(parameter_id_list[: max(0, len(parameter_id_list) - held)])

    @_alone
    def generate_parameters(self, parameter_id: int, **options) -> dict[str, str]:
        found = self.search.propose(parameter_id)
        if found is None:
            raise NoMoreTrialError("every plan that the strategy has was proposed")
        return found

    @_alone
    def receive_trial_result(self, parameter_id: int, parameters: object, value: object, **options) -> None:
        """`parameters` is not looked at: NNI has it wrong after the last plan of a space."""
        self.search.result(parameter_id, value)

    @_alone
    def trial_end(self, parameter_id: int, success: bool, **options) -> None:
        self.search.settle()

    @_alone
    def import_data(self, data: list) -> None:
        self.search.take_in(data)
