from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bankwise.search_space.plan import Plan

EXAMPLES = Path(__file__).resolve().parents[4] / "examples" / "nni"
CALL = "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); from run_experiment import main; "


@pytest.mark.slow
def test_the_experiment_from_python(home, nni, tmp_path):
    call = CALL + f"main(Path(sys.argv[2]), port={nni.free_port()}, trials=2, limit=200)"
    told = subprocess.run(
        [sys.executable, "-c", call, EXAMPLES, tmp_path / "folder"], capture_output=True, text=True, timeout=350
    )
    assert told.returncode == 0, told.stdout + told.stderr
    bytes_ = int(re.search(r" in (\d+) bytes: ", told.stdout)[1])
    assert bytes_ <= 900 and Plan.read(tmp_path / "folder" / "plan.yaml").network == "tiny"


def test_the_commands_of_the_shell_are_those_there_are(nni, tmp_path):
    script = (EXAMPLES / "run_experiment.sh").read_text()
    subprocess.run(["sh", "-n", EXAMPLES / "run_experiment.sh"], check=True)
    line = re.search(r'^bankwise (nni init) "\$folder" (.*)$', script, re.M)
    nni.command(*line[1].split(), tmp_path / "folder", *line[2].split(), "--limit", 200)
    for name in re.findall(r"\$folder/([\w.]+\.\w+)", script):
        assert (tmp_path / "folder" / name).exists() or name == "plan.yaml"
