"""A run's settings: the file, the command line, and what is refused."""

from pathlib import Path

import pytest
import yaml

from napari_ink.errors import SettingsError
from training.config import RunConfig, load_config, to_tree

CONFIGS = sorted((Path(__file__).parents[2] / "training/configs").glob("*.yaml"))


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
    ("key", "value"),
    [
        ("learning.steps", "0"),
        ("learning.batch", "0"),
        ("learning.averaging", "1.0"),
        ("learning.learning_rate", "nan"),
        ("data.edges", "1.5"),
        ("data.synthetic.strengths", "[]"),
        ("threads", "-1"),
        ("seed", "-1"),
    ],
)
def test_number_that_makes_no_run_is_refused_by_its_key(tmp_path, key, value):
    with pytest.raises(SettingsError, match=key):
        load_config(write(tmp_path, "name: a\n"), [f"--{key}={value}"])


def test_missing_file_gives_one_line(tmp_path):
    with pytest.raises(SettingsError, match=r"none\.yaml"):
        load_config(tmp_path / "none.yaml")
