"""Commands, links and pictures of the documentation are there."""

import re
import shlex
from pathlib import Path

import pytest

from napari_ink.cli import build_parser

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(page):
    """Every ``napari-ink …`` of the page's blocks, in words."""
    blocks = re.findall(r"```(?:sh)?\n(.*?)```", page.read_text(), re.S)
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        if line.startswith("napari-ink "):
            yield shlex.split(line, comments=True)[1:]


COMMANDS = [(page.name, words) for page in PAGES for words in commands(page)]


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=lambda part: " ".join(part)[:60])
def test_a_command_of_the_documentation_is_understood(page, words):
    build_parser().parse_args(words)


def test_every_page_about_a_command_shows_one():
    shown = {page for page, _ in COMMANDS}
    assert {"README.md", "sweep.md", "thresholds.md", "uncertainty.md", "predicting.md"} <= shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_lead_somewhere(page):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", there.read_text(), re.M)
            assert anchor in {re.sub(r"[^\w -]", "", t).lower().replace(" ", "-") for t in titles}
