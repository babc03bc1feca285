"""Starting, watching and ending NNI's manager from Python, with care: each of these can hang or fail."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from filelock import FileLock
from nni.experiment import Experiment, ExperimentConfig, RunMode
from nni.runtime.log import silence_stdout

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.processes import lives
from bankwise.strategies.engines.nni.listed import get, listed

TRIES = 4  # NNI ends a web server of its own that does not answer within three seconds
RUNS = ("WAITING", "RUNNING")  # NNI's words for jobs with a process
END = 90.0  # seconds for an orderly end; NNI allows itself 60


class Manager:
    """The manager of the experiment `id`."""

    def __init__(self, id: str, port: int, pid: int):
        self.id, self.port, self.pid = id, port, pid

    def status(self) -> tuple[str, list[str]]:
        """NNI's word for how the experiment is, and errors. OSError where nobody answers."""
        answer = get(self.port, "check-status")
        return answer["status"], answer["errors"]

    def works(self) -> bool:
        """Whether NNI runs a trial, or has handed one to a process. What the tuner takes to run may be lost."""
        with contextlib.suppress(OSError, ValueError):
            return any(job["status"] in RUNS for job in get(self.port, "trial-jobs"))
        return False

    def lives(self) -> bool:
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(self.pid, os.WNOHANG)[0]:  # our own child has to be asked for its end
                return False
        return lives(self.pid)

    def stop(self) -> None:
        """End it and its trials, which keep their checkpoints."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            end = time.monotonic() + END
            while self.lives():
                if time.monotonic() > end:
                    break
                time.sleep(0.1)
            else:
                return


def start(config: Path, port: int, note: Callable[[str], None], id: str | None = None) -> Manager:
    """Start the experiment of a configuration, or go on with the one called `id`. `note` is told the id beforehand.

    The manager outlives this process. At `port`, or at a free one where that is taken.
    """
    silence_stdout()
    for tried in range(TRIES):
        with FileLock(
            _one_at_a_time(), timeout=END
        ):  # on a fresh machine NNI writes a file, and others read half of it
            loaded = ExperimentConfig.load(config)
        experiment = Experiment(loaded, id)
        if id is not None:
            experiment._action = "resume"  # what nnictl does: `resume` itself would tie the manager to this process
        note(experiment.id)
        try:
            with FileLock(_one_at_a_time(), timeout=END):
                chosen = _free_port(port if tried == 0 else 0)
                experiment.start(chosen, run_mode=RunMode.Detach)
                manager = Manager(experiment.id, chosen, experiment._proc.pid)
                if get(chosen, "experiment").get("id") == experiment.id:
                    return manager
            manager.stop()
            failed = f"port {chosen} was taken by another experiment"
        except Exception as error:  # of every kind
            _end_started(experiment.id)
            failed = f"{type(error).__name__}: {error}".partition("\n")[0]
        except KeyboardInterrupt:
            _end_started(experiment.id)
            raise
        finally:
            experiment._stop_logging()
    raise BankwiseError(f"NNI could not start an experiment: {failed}")


def _end_started(id: str) -> None:
    """End the manager of the experiment that this process has begun to start. NNI lists one late in its start."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if id in child.cmdline():
                Manager(id, 0, child.pid).stop()


def attach(id: str) -> Manager | None:
    """The manager of an experiment that still runs. Raises BankwiseError where there is one that does not answer: two
    managers of an experiment would be at odds."""
    known = listed().get(id, {})
    port, pid = known.get("port"), known.get("pid")
    if not port or not pid:
        return None
    try:
        return Manager(id, port, pid) if get(port, "experiment").get("id") == id else None
    except (OSError, ValueError) as error:
        if isinstance(getattr(error, "reason", error), TimeoutError) and lives(pid):
            raise BankwiseError(
                f"NNI's manager of the experiment {id} (pid {pid}) does not answer: wait for it, or end it"
            ) from None
        return None


def end_tuners(id: str) -> None:
    """End the tuners of an experiment that its manager left: one that was too late for it would meet whoever has the
    port next."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            environment = process.environ()
            is_tuner = environment.get("SDK_PROCESS") == "dispatcher"
            if is_tuner and Path(environment.get("NNI_LOG_DIRECTORY", "")).parent.name == id:
                process.kill()


def _one_at_a_time() -> Path:
    """The lock of this user's starts, wherever their temporary folders are. Of two that look for a port at the same
    moment NNI would give the first one's manager both configurations, and that one may wait for ever."""
    return Path("/tmp") / f"bankwise-nni-{os.getuid()}.lock"


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("", port))
            return int(probe.getsockname()[1])
    raise BankwiseError("this machine has no free port for NNI's web page")
