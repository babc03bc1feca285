"""The cluster file of the examples, as Ray itself reads and checks it."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml

pytest.importorskip("ray")
import jsonschema
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.scripts import start

FILE = Path(__file__).parents[5] / "examples" / "ray" / "cluster.yaml"
CONFIG = yaml.safe_load(FILE.read_text(encoding="utf-8"))


def test_ray_accepts_it_with_one_node_a_machine():
    config = prepare_config(copy.deepcopy(CONFIG))
    validate_config(config)
    (node,) = config["available_node_types"].values()
    assert node["min_workers"] == node["max_workers"] == len(CONFIG["provider"]["worker_ips"])


@pytest.mark.parametrize("key", ["setup_comands", "head_start_commands"])
def test_ray_refuses_a_misspelt_one(key):
    with pytest.raises(jsonschema.ValidationError, match=key):
        validate_config(prepare_config({**copy.deepcopy(CONFIG), key: []}))


def test_every_machine_installs_the_engine_and_starts_ray_with_the_token():
    config = prepare_config(copy.deepcopy(CONFIG))
    for part in ("head", "worker"):
        setup, starts = "\n".join(config[f"{part}_setup_commands"]), "\n".join(config[f"{part}_start_ray_commands"])
        assert "pip install" in setup and "'.[ray]'" in setup
        assert "RAY_AUTH_MODE=token" in starts
        known = {name for option in start.params for name in option.opts}
        given = {word.partition("=")[0] for word in starts.split() if word.startswith("--")}
        assert given and given <= known
    assert "~/.ray/auth_token" in config["file_mounts"]
