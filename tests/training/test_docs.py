"""The settings that the documentation shows are settings that there are."""

import re
from pathlib import Path

import pytest

from training.settings.load import load_config

ROOT = Path(__file__).parents[2]
BLOCKS = [
    (page, block)
    for page in ("README.md", "docs/training.md")
    for block in re.findall(r"```yaml\n(.*?)```", (ROOT / page).read_text(), re.S)
]


@pytest.mark.parametrize(("page", "block"), BLOCKS)
def test_settings_of_the_documentation_load(page, block, tmp_path):
    named = "name: shown\n" * ("name:" not in block.splitlines()[0])
    (tmp_path / "shown.yaml").write_text(named + block)
    load_config(tmp_path / "shown.yaml")


def test_there_are_such_settings():
    assert {page for page, _ in BLOCKS} == {"README.md", "docs/training.md"}
