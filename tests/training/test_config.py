"""A run's settings: the file, the command line, and what is refused."""

from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
import yaml

from napari_ink.errors import SettingsError
from training.run import main
from training.settings.config import RunConfig, to_tree
from training.settings.load import load_config, read_yaml

SHIPPED = sorted((Path(__file__).parents[2] / "training/configs").glob("*.yaml"))
CONFIGS = [path for path in SHIPPED if not path.stem.startswith("compare_")]  # those: test_compare


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configs_load_and_survive_a_round_trip(path, tmp_path):
    config = load_config(path)
    copy = tmp_path / "copy.yaml"
    copy.write_text(yaml.safe_dump(to_tree(config)))
    assert load_config(copy) == config


def write(tmp_path, text):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return path


def test_command_line_wins_over_the_file_and_the_file_over_defaults(tmp_path):
    path = write(tmp_path, "name: a\nlearning: {steps: 10, batch: 4}\n")
    config = load_config(path, ["--learning.steps", "20", "--data.layers", "[3, 19]"])
    assert (config.learning.steps, config.learning.batch) == (20, 4)
    assert config.data.layers == (3, 19)
    assert config.learning.clip == RunConfig("b").learning.clip


def test_one_argument_of_the_network_can_be_changed_alone(tmp_path):
    path = write(tmp_path, "name: a\nnetwork: {arguments: {width: 8, levels: 2}}\n")
    config = load_config(path, ["--network.arguments.width=4"])
    assert config.network.arguments == {"width": 4, "levels": 2}


@pytest.mark.parametrize(
    ("text", "overrides", "wrong", "near"),
    [
        ("name: a\nlearning: {step: 10}\n", [], "learning.step", "learning.steps"),
        ("name: a\nlearing: {steps: 10}\n", [], "learing", "learning"),
        ("name: a\n", ["--data.windows", "3"], "data.windows", "data.window"),
        ("name: a\n", ["--new-tusk", "b"], "new_tusk", "new_task"),
        (
            "name: a\ndata: {sources: [{path: b, regin: [1]}]}\n",
            [],
            "data.sources[].regin",
            "data.sources[].region",
        ),
        ("name: a\n", ["--data.windows=3"], "data.windows", "data.window"),
    ],
)
def test_unknown_key_is_refused_with_the_nearest(tmp_path, text, overrides, wrong, near):
    with pytest.raises(SettingsError) as caught:
        load_config(write(tmp_path, text), overrides)
    assert repr(wrong) in caught.value.problem
    assert repr(near) in caught.value.remedy


@pytest.mark.parametrize(
    "text", ["name: a\nlearning: {steps: many}\n", "learning: {steps: 3}\n", "- a\n", "a: [\n"]
)
def test_wrong_types_and_broken_files_give_one_line(tmp_path, text):
    with pytest.raises(SettingsError) as caught:
        load_config(write(tmp_path, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("learning: {steps: }", "learning.steps has no value"),
        ("learning:", "learning has no value"),
        ("augmentation: {flip: 0.5}", "augmentation.flip is 0.5"),
        ("trainer: [cpu]", "trainer is"),
        ("data: {sources: [{path: a, windows: }, {path: b, task: }]}", "task has no value"),
        ("runs: ''", "runs is ''"),
        ('runs: "a\\0b"', "runs is"),
    ],
)
def test_a_key_left_empty_or_a_group_that_is_none_is_refused_by_name(tmp_path, text, wrong):
    with pytest.raises(SettingsError) as caught:
        load_config(write(tmp_path, f"name: a\n{text}\n"))
    assert wrong in caught.value.problem
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("learning.steps", "0"),
        ("learning.batch", "0"),
        ("learning.averaging", "1.0"),
        ("learning.accumulate", "0"),
        ("optimiser.learning_rate", "nan"),
        ("schedule.warm_up", "-1"),
        ("augmentation.flip.p", "2"),
        ("data.selection.counted", "0"),
        ("trainer.devices", "-1"),
        ("data.synthetic.strengths", "[]"),
        ("trainer.threads", "-1"),
        ("seed", "-1"),
    ],
)
def test_number_that_makes_no_run_is_refused_by_its_key(tmp_path, key, value):
    under = "learning." if key.startswith(("optimiser", "schedule")) else ""
    with pytest.raises(SettingsError, match=key):
        load_config(write(tmp_path, "name: a\n"), [f"--{under}{key}={value}"])


def test_key_given_twice_is_refused_wherever_it_is(tmp_path):
    path = tmp_path / "run.yaml"
    for text in (
        "name: a\nname: b\n",
        "name: a\nlearning: {steps: 1, batch: 2, steps: 3}\n",
        "data: {sources: [{path: a, path: b}]}\n",
        "{1: a, '1': b}\n",
    ):
        path.write_text(text)
        with pytest.raises(SettingsError, match="is there twice"):
            load_config(path)
    # a value taken over with << may be set again: that is what it is for
    path.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\nc: {<<: [*a, *a]}\n")
    assert read_yaml(path)["b"] == {"x": 3, "y": 2}


def test_file_that_holds_itself_is_one_line(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("name: &a [*a]\n")
    with pytest.raises(SettingsError, match="holds itself"):
        load_config(path)


def test_missing_file_gives_one_line(tmp_path):
    with pytest.raises(SettingsError, match=r"none\.yaml"):
        load_config(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("trainer.accelerator", "foo"),
        ("trainer.precision", "foo"),
        ("learning.score", "foo"),
        ("trainer.devices", "foo"),
        ("name", "../x"),
        ("name", "."),
        ("name", ""),
        ("name", "a/b"),
    ],
)
def test_word_that_means_nothing_is_refused_in_one_line(tmp_path, key, value):
    with pytest.raises(SettingsError, match=key) as caught:
        load_config(write(tmp_path, "name: a\n"), [f"--{key}={value}"])
    assert "\n" not in str(caught.value)


def test_keys_that_are_no_words_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="True"):
        load_config(write(tmp_path, "name: a\non: 3\n"))


def test_a_switch_needs_no_value_and_dashes_will_do(tmp_path):
    path = write(tmp_path, "name: a\n")
    config = load_config(path, ["--trainer.wandb", "--extend", "b", "--new-task", "c"])
    assert config.trainer.wandb
    assert (config.extend, config.new_task) == ("b", "c")
    assert not load_config(path, ["--trainer.wandb", "false"]).trainer.wandb
    with pytest.raises(SettingsError, match="go together"):
        load_config(path, ["--extend", "b"])


def test_sources_are_read_from_a_list(tmp_path):
    second = "{path: c, region: [0, 4, 0, 5], validation: true}"
    text = f"name: a\ndata: {{sources: [{{path: b}}, {second}]}}\n"
    first, second = load_config(write(tmp_path, text)).data.sources
    assert (first.path, first.validation, first.region) == ("b", False, None)
    assert (second.path, second.validation, second.region) == ("c", True, (0, 4, 0, 5))


def keys(config, prefix=""):
    for part in fields(config):
        value = getattr(config, part.name)
        if is_dataclass(value):
            yield from keys(value, f"{prefix}{part.name}.")
        else:
            yield f"{prefix}{part.name}"


def test_help_lists_every_setting_with_its_default_and_usage_is_printed_without_arguments(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for key in keys(RunConfig("a")):
        assert f"  --{key}" in text
    assert "--trainer.keep_every = 100\n" in text
    assert "--data.sources[].part = ''\n" in text
    assert main([]) == 2
    assert "usage: python -m training.run CONFIG.yaml" in capsys.readouterr().out
