"""NNI's manager, started for real."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from bankwise.strategies.engines.nni import listed, manager

STARTER = """
import json, sys, time
from pathlib import Path
from bankwise.strategies.engines.nni import manager
noted = []
print("ready", flush=True)
sys.stdin.readline()
running = manager.start(Path(sys.argv[1]) / "config.yml", int(sys.argv[2]), noted.append)
print(json.dumps({"id": running.id, "port": running.port, "noted": noted}))
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_of_three_that_start_at_once_each_has_a_port_of_its_own_at_the_first_try(nni, tmp_path):
    port = nni.free_port()
    nni.init()
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", STARTER, tmp_path / "experiment", str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    try:
        assert [starter.stdout.readline() for starter in starters] == ["ready\n"] * 3
        for starter in starters:
            starter.stdin.write("\n")
            starter.stdin.flush()
        found = [json.loads(starter.communicate(timeout=300)[0]) for starter in starters]
        running = [manager.attach(one["id"]) for one in found]
        assert None not in running
        assert all(one["noted"] == [one["id"]] for one in found) and len(listed.listed()) == 3
        assert len({one["port"] for one in found}) == 3 and port in {one["port"] for one in found}
    finally:
        for starter in starters:
            starter.kill()
            starter.communicate()
        for id in listed.listed():
            if (left := manager.attach(id)) is not None:
                left.stop()
            manager.end_tuners(id)
