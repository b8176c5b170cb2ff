"""A comparison: what each row changes, what is not repeated, what fails, and the table."""

import copy
import csv
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
import yaml
from filelock import FileLock
from small_run import CACHE

from napari_ink.analysis.metrics import Histogram
from training.compare import one, queue
from training.compare.__main__ import check, compare, main
from training.compare.one import report_loss, result_file, speed, train_and_score
from training.compare.processes import Running
from training.compare.queue import finished
from training.compare.settings import load_comparison
from training.compare.table import chart, in_words, markdown, summarise
from training.settings.load import load_config

REPORT = Path(__file__).parents[2] / "training/configs/compare_report.yaml"

BASE = {
    "data": {
        "window": 16,
        "recipe": {"kind": "fixed", "mean": 0.45, "std": 0.15},
        "selection": {"windows": 30, "void": 30},
        "synthetic": {
            "fragments": 1,
            "first_seed": 10,
            "depth": 8,
            "height": 96,
            "width": 128,
            "voxel_size": 64.0,
        },
    },
    "network": {
        "arguments": {
            "width": 2,
            "levels": 1,
            "depth": 8,
            "decoder": "2d",
            "collapse": "conv2d",
            "tasks": ["ink"],
        }
    },
    "learning": {"steps": 4, "batch": 4, "validate_every": 4},
    "trainer": {"accelerator": "cpu", "threads": 1, "log_every": 1},
}


def write(tmp_path, **others):
    base = copy.deepcopy(BASE)
    base["data"]["synthetic"]["cache"] = str(CACHE)
    tree = {
        "name": "tiny",
        "runs": str(tmp_path / "runs"),
        "base": base,
        "rows": {"plain": None, "mean": {"network.arguments.collapse": "mean"}},
        "seeds": [1],
        "test_seeds": [50],
    } | others
    path = tmp_path / "compare.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    return path


def result_of(comparison, task, **values):
    """A finished run's result, written by hand."""
    result = {"digest": comparison.digest(task), "row": task.row, "seed": task.seed}
    result |= {"loss": 0.5, "f05": 0.6, "auc": 0.7, "seconds": 8.0} | values
    file = result_file(comparison, task)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(result))
    return result


def test_the_reports_rows_and_all_collapses_make_runs(tmp_path):
    comparison = replace(load_comparison(REPORT), runs=str(tmp_path))
    check(comparison)
    configs = {
        task.row: load_config(tmp_path / "compare-report/settings" / f"{task.name}.yaml")
        for task in comparison.tasks()
    }
    assert len(list(comparison.tasks())) == 30
    collapses = {c.network.arguments["collapse"] for n, c in configs.items() if "collapse" in n}
    assert collapses == {"mean", "conv2d", "matmul_free", "matmul_input", "matmul_bottleneck"}
    raw, recipe, buckets, dropout, flat = list(configs.values())[:5]
    assert "mean" not in raw.data.recipe
    assert recipe.augmentation.flip.p > 0 == buckets.augmentation.flip.p
    assert (recipe.data.selection.buckets, buckets.data.selection.buckets) == (1, 10)
    assert dropout.network.arguments["dropout"] > 0
    assert dropout.network.arguments | {"dropout": 0} == buckets.network.arguments | {"dropout": 0}
    assert flat.network.arguments["decoder"] == "2d"
    # the same fragments, windows and budget for all
    assert len({c.data.synthetic for c in configs.values()}) == 1
    assert len({(c.learning.steps, c.learning.batch) for c in configs.values()}) == 1
    selections = [c.data.selection for c in configs.values()]
    assert len({s.windows + s.void + s.anywhere for s in selections}) == 1
    assert (raw.data.selection.windows, raw.data.selection.void) == (0, 0)


def test_a_row_replaces_the_whole_value_at_a_key_and_nothing_else(tmp_path):
    rows = {"raw": {"data.recipe": {"kind": "fixed"}, "augmentation.flip.p": 0.5}}
    (task,) = load_comparison(write(tmp_path, rows=rows)).tasks()
    assert task.tree["data"]["recipe"] == {"kind": "fixed"}
    assert task.tree["augmentation"] == {"flip": {"p": 0.5}}
    assert task.tree["data"]["window"] == 16
    assert (task.name, task.tree["name"], task.tree["seed"]) == ("raw-seed1", "raw-seed1", 1)


def test_base_may_be_a_file_beside_the_comparison(tmp_path):
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(BASE))
    path = write(tmp_path)
    tree = yaml.safe_load(path.read_text()) | {"base": "base.yaml"}
    path.write_text(yaml.safe_dump(tree))
    assert load_comparison(path).base["data"]["window"] == 16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"row": {}}, "unknown row"),
        ({"rows": {}}, "no rows"),
        ({"rows": {"a/b": None}}, "a/b"),
        ({"rows": {"a": [1]}}, "row a"),
        ({"rows": {"a": {1: 2}}}, "row a"),
        ({"seeds": []}, "one or more"),
        ({"seeds": ["x"]}, "seeds"),
        ({"base": 3}, "base"),
        ({"name": "../out"}, "name is '../out'"),
        ({"name": None}, "name is None"),
        ({"runs": " "}, "runs is ' '"),
        ({"rows": {"..": None}}, "a row called '..'"),
        ({"rows": {"-x": None}}, "a row called '-x'"),
        ({"rows": {1: None, "1": None}}, "'1' is there twice"),
        ({"rows": {"a": 0}}, "row a"),
        ({"rows": {"a": {"seed": 7}}}, "row a sets seed"),
        ({"rows": {"a": {"runs": "elsewhere"}}}, "row a sets runs"),
        ({"seeds": [1, 1]}, "each once"),
        ({"seeds": [2**32]}, "2^32 - 1"),
        ({"seeds": [True]}, "seeds is [True]"),
        ({"test_strengths": [0]}, "test_strengths is [0]"),
        ({"test_strengths": [float("nan")]}, "test_strengths is [nan]"),
        ({"limit_strengths": [1, 1.0]}, "each once"),
        ({"limit_seeds": [60], "limit_strengths": []}, "limit_strengths is empty"),
    ],
)
def test_comparison_that_makes_no_sense_is_one_line(tmp_path, change, message, capsys):
    assert main([str(write(tmp_path, **change))]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"good": None, "bad": {"learning.stebs": 3}}, "did you mean 'learning.steps'"),
        ({"peeks": {"data.synthetic.first_seed": 50}}, "row peeks learns from 50"),
        ({"good": None, "bad": {"data.window": 15}}, "row bad: a tile of 15×15 px"),
        ({"good": None, "bad": {"network.arguments.widht": 3}}, "row bad: repmode does not take"),
        ({"good": None, "bad": {"learning.losses": {"dize": 1.0}}}, "row bad: "),
        ({"good": None, "bad": {"data.recipe": {"kind": "magic"}}}, "row bad: "),
    ],
)
def test_one_bad_row_is_refused_before_any_is_trained(tmp_path, rows, message, capsys):
    assert main([str(write(tmp_path, rows=rows))]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs/tiny/results").exists()


def test_finished_runs_are_not_repeated_and_a_failed_one_stops_no_other(tmp_path, monkeypatch):
    rows = {"plain": None, "mean": {"network.arguments.collapse": "mean"}, "third": None}
    path = write(tmp_path, rows=rows, seeds=[1, 2])
    comparison = load_comparison(path)
    tasks = {task.name: task for task in comparison.tasks()}
    result_of(comparison, tasks["plain-seed1"])
    result_of(comparison, tasks["plain-seed2"], digest="of other settings")
    result_file(comparison, tasks["third-seed1"]).write_text('{"half')
    started = []

    def start(comparison, task, running):
        started.append(task.name)
        return {"failed": "no luck"} if task.row == "mean" else result_of(comparison, task)

    monkeypatch.setattr(queue, "train", start)
    results, text = compare(path)
    assert sorted(started) == [
        *("mean-seed1", "mean-seed2", "plain-seed2", "third-seed1", "third-seed2")
    ]
    assert "mean, seed 2, failed: no luck" in text
    assert set(results["third"]) == {1, 2}
    started.clear()
    compare(path)
    assert sorted(started) == ["mean-seed1", "mean-seed2"]
    started.clear()
    compare(path, only=["third"])
    assert not started


def test_other_tests_or_settings_make_a_result_stale(tmp_path):
    comparison = load_comparison(write(tmp_path))
    task = next(comparison.tasks())
    result_of(comparison, task)
    assert finished(comparison, task)
    assert finished(replace(comparison, test_seeds=(51,)), task) is None
    longer = replace(comparison, base=comparison.base | {"learning": {"steps": 9}})
    assert finished(longer, next(longer.tasks())) is None
    # the strengths of a limit that is not measured do not matter
    assert finished(replace(comparison, limit_strengths=(1.0,)), task)


def test_a_row_is_trained_scored_on_unseen_fragments_and_then_left_alone(tmp_path, monkeypatch):
    path = write(tmp_path, rows={"plain": None, "breaks": {"data.synthetic.validation_seed": 10}})
    assert main([str(path), "--jobs", "2"]) == 1
    folder = tmp_path / "runs/tiny"
    results = json.loads((folder / "table.json").read_text())["results"]
    result = results["plain"]["1"]
    assert result["pixels"] > 1000
    assert 0 < result["auc"] < 1
    assert result["seconds"] > 0
    assert "validation seed 10" in results["breaks"]["1"]["failed"]
    assert "breaks, seed 1, failed" in (folder / "table.md").read_text()
    rows = list(csv.DictReader((folder / "table.csv").open()))
    assert [row["row"] for row in rows] == ["plain", "breaks"]
    assert float(rows[0]["auc"]) == result["auc"]
    assert (folder / "table.png").stat().st_size > 5000

    # killed after training, before its result was written: scored, not trained again
    comparison = load_comparison(path)
    task = next(comparison.tasks())
    result_file(comparison, task).unlink()
    monkeypatch.setattr(one, "run", lambda config: pytest.fail("trained again"))
    again = train_and_score(comparison, task)
    assert again["auc"] == result["auc"]
    assert finished(comparison, task) == again


@pytest.mark.parametrize(("moment", "ending"), [("simulating", "terminate"), ("learning", "kill")])
def test_a_comparison_that_is_ended_leaves_no_process_behind(tmp_path, moment, ending):
    learning = {"learning.steps": 10**5, "learning.validate_every": 10**5}
    large = {"data.synthetic.height": 1200, "data.synthetic.width": 2400}
    path = write(tmp_path, rows={"plain": learning if moment == "learning" else large})
    process = subprocess.Popen(
        [sys.executable, "-m", "training.compare", str(path)], stderr=subprocess.PIPE, text=True
    )
    this = psutil.Process(process.pid)
    log = tmp_path / "runs" / "tiny" / "plain-seed1" / "metrics.csv"

    def at_work():
        if moment == "learning":
            return log.exists() and len(log.read_text().splitlines()) >= 3
        # the run, and the processes that simulate for it
        return len(this.children(recursive=True)) >= 3

    end = time.monotonic() + 240
    while not at_work() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    runs = this.children(recursive=True)
    getattr(process, ending)()
    assert runs
    _, errors = process.communicate(timeout=60)
    if ending == "terminate":
        assert process.returncode == 130
        assert errors.splitlines()[-1].startswith("training.compare: stopped")
    _, alive = psutil.wait_procs(runs, timeout=20)
    assert not alive


def test_a_run_that_is_ended_from_outside_says_by_what(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("working\n")
    words = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]
    assert "SIGKILL, as by a lack of memory" in queue.reason(Running().call(words, log), log)
    log.write_text("working\nit broke\n\n")
    assert queue.reason(2, log) == "it broke"


def test_none_starts_once_all_were_ended(tmp_path):
    running = Running()
    running.end()
    made = tmp_path / "made"
    words = [sys.executable, "-c", f"open({str(made)!r}, 'w')"]
    assert running.call(words, tmp_path / "log.txt") is None
    assert not made.exists()


def test_what_is_edited_while_it_runs_changes_no_run(tmp_path, monkeypatch):
    path = write(tmp_path)
    seen = []

    def start(comparison, task, running):
        path.write_text("rows: {}\n")
        again = load_comparison(comparison.folder / "comparison.yaml")
        seen.append((again == comparison, again.digest(task) == comparison.digest(task)))
        return result_of(comparison, task)

    monkeypatch.setattr(queue, "train", start)
    compare(path)
    assert seen == [(True, True)] * 2


def test_tables_that_cannot_be_written_are_one_line(tmp_path, monkeypatch, capsys):
    path = write(tmp_path)
    (tmp_path / "runs/tiny/table.csv").mkdir(parents=True)
    monkeypatch.setattr(queue, "train", lambda comparison, task, _: result_of(comparison, task))
    assert main([str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "table.csv" in line


def test_two_comparisons_do_not_work_in_one_folder(tmp_path, capsys):
    path = write(tmp_path)
    folder = tmp_path / "runs/tiny"
    folder.mkdir(parents=True)
    with FileLock(folder / ".lock"):
        assert main([str(path)]) == 2
    assert "at work in another process" in capsys.readouterr().err
    assert not (folder / "settings").exists()


def test_loss_is_the_mean_of_torchs_bce_and_the_dice_loss():
    random = np.random.default_rng(1)
    probability = np.float16(random.uniform(0.01, 0.99, 4000))
    label = random.random(4000) < 0.2
    p, t = torch.tensor(probability.astype(float)), torch.tensor(label.astype(float))
    bce = torch.nn.functional.binary_cross_entropy(p, t)
    dice = 1 - 2 * (p * t).sum() / (p.sum() + t.sum())
    found = report_loss(Histogram.of(probability, label))
    assert found == pytest.approx(float(bce + dice) / 2)
    sure = Histogram.of(np.array([0.0, 1.0, 0.0]), np.array([0, 1, 1]))
    assert np.isfinite(report_loss(sure))


def test_time_is_that_of_the_samples_also_in_a_run_that_was_stopped(tmp_path):
    config = load_config(REPORT.with_name("sample.yaml"))
    assert speed(tmp_path, config) == {"samples_per_second": None, "seconds": None}
    # half at 10 samples a second, half at 30
    (tmp_path / "metrics.csv").write_text("step,samples_per_second\n1,10\n2,\n3,30\n")
    samples = config.learning.steps * config.learning.batch
    found = speed(tmp_path, config)
    assert found["samples_per_second"] == pytest.approx(15)
    assert found["seconds"] == pytest.approx(samples / 15, abs=0.01)


def test_table_gives_mean_and_sample_deviation_of_what_succeeded():
    results = {
        "a": {1: {"loss": 0.2, "auc": 0.9, "f05": 0.5}, 2: {"loss": 0.4, "auc": 0.8, "f05": 0.5}},
        "b": {1: {"failed": "it broke"}},
        "c": {1: {"loss": 0.3, "auc": 0.7, "f05": None}},
    }
    rows = summarise(results)
    assert rows[0]["loss"]["mean"] == pytest.approx(0.3)
    assert rows[0]["loss"]["sd"] == pytest.approx(np.std([0.2, 0.4], ddof=1))
    text = markdown(rows)
    assert "| a | 2 | 0.300 ± 0.141 | 0.500 ± 0.000 | 0.8500 ± 0.0707 |" in text
    assert "| b | 0 | – | – | – |" in text
    assert "| c | 1 | 0.300 | – | 0.7000 |" in text
    assert "b, seed 1, failed: it broke" in text
    assert len(chart(rows).axes) == 3
    assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 1


def test_table_says_what_is_no_mean_over_all_runs_or_only_a_bound():
    def limits(*values):
        return {"limits": {"limits": values}}

    results = {
        "some": {
            1: {"f05": 0.5, "limit": 0.6, **limits(0.2, None)},
            2: {"f05": None, "limit": 0.3, **limits(0.3, 0.3)},
        },
        "all": {1: {"f05": 0.5, "limit": 0.25, **limits(0.2, 0.3)}},
    }
    rows = summarise(results)
    text = markdown(rows)
    assert "| some | 2 | 0.500 (1 of 2) | ≥ 0.450 ± 0.212 |" in text
    assert "some: ink of the strongest kind tried was found on 3 of 4 fragments" in text
    assert "| all | 1 | 0.500 | 0.250 |" in text
    assert "▶" in chart(rows).get_suptitle()
    assert "▶" not in chart(rows[1:]).get_suptitle()
    assert in_words(results["some"][2]) == "F0.5 undefined, detection limit 0.300"
    failed = markdown(summarise({"a": {1: {"failed": "no"}}})).splitlines()
    assert failed[:3] == ["| row | runs |", "| --- | --- |", "| a | 0 |"]


def test_table_says_when_versions_differ():
    old = {"loss": 0.2, "versions": {"commit": "a"}}
    assert "same version" not in markdown(summarise({"a": {1: old, 2: old}}))
    new = old | {"versions": {"commit": "b"}}
    assert "same version" in markdown(summarise({"a": {1: old}, "b": {1: new}}))
