"""``napari-ink uncertain``: how sure a sampled prediction is, and where it is not."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image
from sampled_stores import PIXEL, plan_of, store

from napari_ink.analysis.samples_chart import samples_chart, samples_words
from napari_ink.analysis.uncertain import uncertain_places
from napari_ink.cli import main
from napari_ink.inference.store import PredictionStore
from napari_ink.inference.store_writing import StoreWriter

SHAPE = (300, 400)


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    """A map of four blocks with nine samples each, with a tolerance, and begun; a single pass."""
    root = tmp_path_factory.mktemp("sampled")
    random = np.random.default_rng(0)
    ink, spread = random.random(SHAPE), 0.3 * random.random(SHAPE)
    store(root / "all.ink.zarr", ink, spread)
    counts = [[9, 5], [6, 5]]
    store(root / "tolerant.ink.zarr", ink, spread, counts=counts, tolerance=0.25)
    store(root / "begun.ink.zarr", ink, spread, counts=[[3, 3], [2, 0]], finish=False)
    single = plan_of(SHAPE, samples=1, dropout=None)
    StoreWriter.create_or_resume(root / "single.ink.zarr", single).close()
    return root


def test_json_is_what_the_library_finds(sampled, capsys):
    path = sampled / "all.ink.zarr"
    assert main(["uncertain", str(path), "--places", "3", "--by", "information", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    kept = PredictionStore.open(path)
    expected = uncertain_places(kept, 3, "information")
    assert [(p["y"], p["x"], p["value"]) for p in record["places"]] == [
        (p.y, p.x, p.value) for p in expected
    ]
    assert len(expected) > 1
    assert record["places"][0]["y_um"] == expected[0].y * PIXEL
    assert record["samples"] == kept.sampled()
    assert record["samples"]["least"] == record["samples"]["most"] == 9
    assert record["samples"]["standard_error"] > 0


def test_table_names_ink_and_doubt_of_each_place(sampled, capsys):
    path = sampled / "all.ink.zarr"
    assert main(["uncertain", str(path), "--places", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "Every block took 9 samples" in lines[1]
    assert "No tolerance" in lines[2]
    places = uncertain_places(PredictionStore.open(path), 2)
    for line, place in zip(lines[-2:], places, strict=True):
        number, y, x, ink, _, spread, *_ = line.split()
        assert (int(y), int(x)) == (place.y, place.x)
        assert (ink, spread) == (f"{place.ink:.2f}", f"{place.spread:.2f}")
    assert number == "2"


def test_csv_has_a_row_a_place(sampled, tmp_path, capsys):
    target = tmp_path / "places.csv"
    arguments = ["--places", "2", "--apart", "900", "--csv", str(target)]
    assert main(["uncertain", str(sampled / "all.ink.zarr"), *arguments]) == 0
    rows = list(csv.DictReader(target.open()))
    places = uncertain_places(PredictionStore.open(sampled / "all.ink.zarr"), 2, apart=900)
    assert [(int(row["y"]), float(row["value"])) for row in rows] == [
        (p.y, p.value) for p in places
    ]


def test_picture_draws_every_blocks_samples(sampled, tmp_path):
    target = tmp_path / "samples.png"
    path = sampled / "begun.ink.zarr"
    assert main(["uncertain", str(path), "--png", str(target)]) == 0
    assert np.asarray(Image.open(target)).std() > 20
    kept = PredictionStore.open(path)
    counts = kept.samples.counts
    assert counts.min() < counts.max()
    numbers = [text.get_text() for text in samples_chart(kept).axes[0].texts]
    assert numbers == [f"{count:.0f}" for count in counts.ravel() if count]


def test_words_say_what_a_tolerance_did(sampled):
    def words(name):
        return " ".join(samples_words(PredictionStore.open(sampled / f"{name}.ink.zarr")))

    assert "5 to 9 samples a block, 6.2 on average" in words("tolerant")
    assert "Tolerance 0.25" in words("tolerant")
    assert "or after 9 samples" in words("tolerant")
    assert "3 of 4 blocks needed fewer than 9" in words("tolerant")
    assert "2 to 3 samples a block" in words("begun")
    assert "Not finished: 0%" in words("begun")


def test_passes_that_are_no_samples_of_one_network_are_counted_too(sampled):
    kept = PredictionStore.open(sampled / "all.ink.zarr")
    kept.attributes["passes"] = 12
    assert "all of the 12 samples asked for" in " ".join(samples_words(kept))


def test_a_map_that_lacks_samples_is_not_called_unpredicted(sampled, tmp_path, capsys):
    path, label = str(sampled / "begun.ink.zarr"), str(tmp_path / "label.png")
    Image.fromarray(np.eye(*SHAPE, dtype=np.uint8) * 255).save(label)
    told = f"only 0% of the blocks of {path} have all their samples so far"
    for command in (
        ["evaluate", path, "--labels", label],
        ["thresholds", path, "--percentile", "90"],
        ["export", path, "--png", str(tmp_path / "a.png")],
    ):
        assert main(command) == 0
        assert told in "".join(capsys.readouterr())


def test_passes_that_no_chance_has_drawn_have_no_standard_error(sampled):
    kept = PredictionStore.open(sampled / "all.ink.zarr")
    kept.attributes["identity"] = kept.attributes["identity"] | {"monte_carlo": None}
    assert samples_words(kept) == ["Every block took 9 passes."]
    assert samples_chart(kept).axes[0].get_title("left") == "Passes that each block took"


def test_a_single_pass_is_one_line_with_the_remedy(sampled, tmp_path, capsys):
    target = tmp_path / "samples.png"
    assert main(["uncertain", str(sampled / "single.ink.zarr"), "--png", str(target)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is a single pass" in line
    assert "--samples 60" in line
    assert not target.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--places", "0"], "0 places"),
        (["--apart", "-1"], "places -1 µm apart"),
        (["--png", "x.jpg"], "x.jpg is no name"),
        (["--csv", "nowhere/x.csv"], "no folder nowhere"),
    ],
)
def test_refusals_are_one_line(sampled, capsys, arguments, said):
    assert main(["uncertain", str(sampled / "all.ink.zarr"), *arguments]) == 2
    out, err = capsys.readouterr()
    assert not out
    (line,) = err.splitlines()
    assert said in line
