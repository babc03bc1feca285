"""Several budgets in one command."""

from __future__ import annotations

import types

import pytest

from bankwise import budgets, trainings
from bankwise.cli.output import budgets_table
from bankwise.run_folder import RunFolder


def words(cli, budget: str) -> list[str]:
    made = [*cli.search]
    made[made.index("--budget") + 1] = budget
    return made


def test_each_budget_is_the_search_of_it_alone_and_one_teacher_serves_all(cli, finished, tmp_path, monkeypatch):
    trained = []
    train = trainings.train

    def counted(network, data, recipe, *, checkpoint, report):
        told = lambda epoch: (trained.append(checkpoint.name), report(epoch))  # noqa: E731
        return train(network, data, recipe, checkpoint=checkpoint, report=told)

    monkeypatch.setattr(trainings, "train", counted)
    out = tmp_path / "runs"
    done = cli.call(*words(cli, "1200,2KiB"), "--out", out)
    assert done.code == 0, done.err
    first, second = done.json["runs"]
    alone = cli.comparable(finished[1].json, finished[0])
    del alone["report"]
    assert cli.comparable(first, out / "1200") == alone
    assert trained == [f"uncompressed-{seed}.pt" for seed in (0, 1) for _ in range(3)]
    assert first["uncompressed"] == second["uncompressed"] and second["budget_bytes"] == 2048
    for seed in range(2):
        name = f"uncompressed-{seed}.pt"
        one, other = (out / folder / "checkpoints" / name for folder in ("1200", "2KiB"))
        assert one.read_bytes() == other.read_bytes()
    page = (out / "report.html").read_text()
    assert all(f"{run['file_bytes']:,}" in page for run in (first, second))
    assert (out / "plots" / "comparison-validation.png").exists()
    table = cli.call(*[word for word in words(cli, "1200,2KiB") if word != "--json"], "--out", out)
    assert "accuracy of each budget" in table.out and max(map(len, table.out.splitlines()[:5])) <= 80
    assert table.err.count("is finished") == 2


def test_a_run_of_other_settings_among_the_folders_is_let_be(cli, tmp_path):
    out = tmp_path / "runs"
    with RunFolder(out / "2KiB").claimed({"other": "settings"}) as theirs:
        (theirs.checkpoints / "uncompressed-0.pt").touch()
    done = cli.call(*words(cli, "1200,2KiB"), "--out", out)
    assert done.code == 2 and "holds a run with other settings" in done.err
    assert [path.name for path in theirs.checkpoints.iterdir()] == ["uncompressed-0.pt"]


def test_the_table_has_a_row_for_each_uncompressed_network():
    def summary(budget, network, bytes_before):
        before = {"bytes": bytes_before, "accuracy": 0.9, "test_accuracy": 0.8}
        return {"budget": budget, "network": network, "metric": "accuracy", "file_bytes": 700, "accuracy": 0.7,
                "test_accuracy": 0.6, "baseline_uniform": None, "uncompressed": before}  # fmt: skip

    runs = [summary("700B", "tiny@0.5", 35000), summary("900B", "tiny", 133352), summary("1KiB", "tiny", 133352)]
    made = budgets_table(runs, [True] * 3)
    first, second = (list(column.cells) for column in made.columns[:2])
    assert list(map(str, first[3:])) == ["float32 tiny@0.5", "float32 tiny"]
    assert list(map(str, second[3:])) == ["35,000", "133,352"]


def test_a_budget_that_cannot_be_met_or_is_there_twice_ends_it_before_any_search(cli, tmp_path):
    assert "10 bytes" in cli.bad(*words(cli, "1200,10"), "--out", tmp_path / "a", code=3)
    assert "the same 2,048 bytes" in cli.bad(*words(cli, "2048,2KiB"), "--out", tmp_path / "a")
    assert "'4 kilo'" in cli.bad(*words(cli, "2KiB,4 kilo"), "--out", tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("sizes", "accuracies", "wanted"),
    [([1, 2, 3], [0.1, 0.2, 0.3], [True] * 3), ([1, 2, 3], [0.3, 0.2, 0.4], [True, False, True]),
     ([1, 1], [0.1, 0.2], [False, True])],
)  # fmt: skip
def test_the_front_has_no_smaller_file_that_is_better(sizes, accuracies, wanted):
    pairs = zip(sizes, accuracies, strict=True)
    results = [types.SimpleNamespace(file_bytes=size, accuracy=accuracy) for size, accuracy in pairs]
    assert budgets.front(results) == wanted


def test_a_number_with_commas_is_one_budget():
    assert budgets.parted("1,000") == ["1,000"] and budgets.parted("0.5bpw,100x") == ["0.5bpw", "100x"]
