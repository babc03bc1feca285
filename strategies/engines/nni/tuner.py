"""`BudgetTuner`: every ask/tell strategy as a tuner of NNI.

NNI gives up on a tuner that has not reported ten seconds after it was started, and importing PyTorch alone can take as
long. So this module and its packages import nothing heavy but NNI; all else is imported at the first call.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nni import NoMoreTrialError
from nni.tuner import Tuner

from bankwise.search_space.errors import BankwiseError
from bankwise.strategies import DEFAULT

if TYPE_CHECKING:
    from bankwise.strategies.engines.nni.search import Search

log = logging.getLogger("bankwise.nni")
IN_DISPATCHER = os.environ.get("SDK_PROCESS") == "dispatcher"  # the process that NNI starts for its tuner


def _alone(method: Callable[..., Any]) -> Callable[..., Any]:
    """One call at a time: NNI makes them from two threads.

    An error ends NNI's dispatcher, and half a minute later the experiment, visibly: it would wait for ever otherwise.
    """

    @functools.wraps(method)
    def call(self: BudgetTuner, *arguments: Any, **options: Any) -> Any:
        with self._lock:
            try:
                return method(self, *arguments, **options)
            except NoMoreTrialError:
                raise
            except Exception as error:
                log.error("the tuner cannot go on: %s", error, exc_info=not isinstance(error, BankwiseError))
                if IN_DISPATCHER:
                    os._exit(1)
                raise

    return call


class BudgetTuner(Tuner):
    """Proposes plans within the budget of the experiment in `folder` (`bankwise nni init`), by `strategy` and `seed`;
    up to `trials` of them (None: as many as NNI asks for), journalled in the file `ledger` of the folder.

    A parameter is a choice's code for every layer. Results of other experiments over the same layers can be imported.
    The search space may be edited while the experiment runs: fewer choices of a layer narrow the search.
    """

    def __init__(
        self,
        folder: str,
        strategy: str = DEFAULT,
        seed: int = 0,
        ledger: str | None = None,
        trials: int | None = None,
    ):
        super().__init__()
        self._arguments = (Path(folder), strategy, seed)
        self._more: dict[str, Any] = {"ledger": ledger, "trials": trials}
        self._lock = threading.RLock()
        self._search: Search | None = None
        self._resumed = False

    @property
    def search(self) -> Search:
        """Opened at its first use. Raises BankwiseError where the folder holds no experiment."""
        if self._search is None:
            from bankwise.strategies.engines.nni import watchdog
            from bankwise.strategies.engines.nni.search import Search

            found = self.get_checkpoint_path()
            if IN_DISPATCHER:
                watchdog.watch(Path(found).parent.name)
            place = Path(found) if found else None
            self._search = Search(*self._arguments, place, **self._more, resumed=self._resumed)
        return self._search

    def load_checkpoint(self) -> None:
        """NNI resumes the experiment; it says so before anything else."""
        self._resumed = True

    def save_checkpoint(self) -> None:
        """The ledger is on disk at every change."""

    @_alone
    def update_search_space(self, search_space: Mapping[str, Any]) -> None:
        self.search.narrow(search_space)

    @_alone
    def generate_multiple_parameters(self, parameter_id_list: list[int], **options: Any) -> list[dict[str, str]]:
        """After a resume NNI asks for a full set of new trials beside those that it runs again; they would be proposed
        ahead of results to come, so that many are left out: NNI asks again at the end of each."""
        surplus, self.search.surplus = self.search.surplus, 0
        wanted = parameter_id_list[: max(0, len(parameter_id_list) - surplus)]
        made: list[dict[str, str]] = super().generate_multiple_parameters(wanted)
        return made

    @_alone
    def generate_parameters(self, parameter_id: int, **options: Any) -> dict[str, str]:
        found = self.search.propose(parameter_id)
        if found is None:
            raise NoMoreTrialError("every plan that the strategy has was proposed")
        return found

    @_alone
    def receive_trial_result(self, parameter_id: int, parameters: object, value: object, **options: Any) -> None:
        """`parameters` is not looked at: NNI has it wrong after the last plan of a space."""
        self.search.result(parameter_id, value)

    @_alone
    def trial_end(self, parameter_id: int, success: bool, **options: Any) -> None:
        self.search.settle()

    @_alone
    def import_data(self, data: list[Any]) -> None:
        self.search.take_in(data)
