"""Parts of a network, comparisons, tables and charts of gates."""

import csv
import io

import numpy as np
import pytest
from expert_networks import small_network

from napari_ink.analysis.gates import compare_gates, gate_shares
from napari_ink.analysis.gates_figures import compared_chart, gate_chart, grouped_chart
from napari_ink.analysis.gates_table import comparison_record, gate_csv, gate_record, gate_table
from napari_ink.errors import SettingsError
from napari_ink.models.extend import extend


@pytest.fixture(scope="module")
def shares():
    return gate_shares(small_network(decoder="3d"), "letters")


def test_parts_are_means_over_their_blocks_each_counting_once(shares):
    # C1.1 … C3.2 are six with the bottleneck, D2.1 … D1.2 and the head are five
    assert [block[0] for block in shares.blocks] == ["C"] * 6 + ["D"] * 4 + ["h"]
    for part, rows in (("encoder", shares.mean[:6]), ("decoder", shares.mean[6:])):
        mean, spread = shares.parts[part]
        assert mean == pytest.approx(rows.mean(axis=0))
        assert spread == pytest.approx(rows.std(axis=0))
    assert shares.parts["overall"][0] == pytest.approx(shares.overall)


def test_decoder_without_gates_has_no_share():
    shares = gate_shares(small_network(decoder="2d"))
    assert list(shares.parts) == ["encoder", "overall"]
    assert gate_record(shares)["decoder"] is None


def test_difference_is_second_less_first_of_the_blocks_that_both_have(shares):
    other = gate_shares(small_network(decoder="2d", seed=1), "ink")
    compared = compare_gates(shares, other)
    assert compared.first.blocks == compared.second.blocks == other.blocks
    assert compared.difference == pytest.approx(other.mean - shares.mean[:6])
    assert compared.difference.sum(axis=1) == pytest.approx(0, abs=1e-4)
    record = comparison_record(compared)
    assert record["task"] == "ink"
    assert record["difference"]["blocks"]["C1.1"] == pytest.approx(
        (other.mean[0] - shares.mean[0]).tolist()
    )
    assert record["difference"]["decoder"] is None


def test_expert_that_a_task_lacks_weighs_nothing_there():
    model = extend(small_network(), "crackle")
    compared = compare_gates(gate_shares(model, "ink"), gate_shares(model, "crackle"))
    assert compared.first.experts[-1] == "added"
    assert compared.first.mean[:, -1] == pytest.approx(0)
    assert compared.difference[:, -1] == pytest.approx(50)
    turned = compare_gates(compared.second, gate_shares(model, "ink"))
    assert turned.difference == pytest.approx(-compared.difference)


def test_networks_without_a_common_block_are_not_compared(shares):
    from dataclasses import replace

    other = replace(shares, blocks=tuple(f"other {block}" for block in shares.blocks))
    with pytest.raises(SettingsError, match="no gated block in common"):
        compare_gates(shares, other)


def test_csv_holds_a_row_a_block_and_expert(shares):
    rows = list(csv.DictReader(io.StringIO(gate_csv(shares))))
    assert len(rows) == (11 + 3) * 5
    row = rows[5 * shares.blocks.index("D1.2") + 4]
    assert (row["block"], row["layer"], row["expert"]) == ("D1.2", "decoder.0.1", "avg5")
    at = shares.blocks.index("D1.2")
    assert float(row["mean"]) == pytest.approx(shares.mean[at, 4], abs=1e-4)
    assert float(row["spread"]) == pytest.approx(shares.spread[at, 4], abs=1e-4)


def test_csv_of_a_comparison_holds_both_and_the_difference(shares):
    compared = compare_gates(shares, gate_shares(small_network(decoder="3d"), "ink"))
    for row in csv.DictReader(io.StringIO(gate_csv(shares, compared))):
        mean, second = float(row["mean"]), float(row["second_mean"])
        assert float(row["difference"]) == pytest.approx(second - mean, abs=2e-4)


def test_table_is_narrow_enough_for_a_terminal(shares):
    compared = compare_gates(shares, shares)
    lines = gate_table(shares, compared).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("D2.1") for line in lines)


def test_grouped_bars_are_the_means_with_the_spread_as_whiskers(shares):
    axes = grouped_chart(shares).axes[0]
    bars = [part for part in axes.containers if hasattr(part, "patches")]
    heights = np.array([[bar.get_height() for bar in part.patches] for part in bars]).T
    assert heights[:11] == pytest.approx(shares.mean)
    lines = [part.errorbar.lines[2][0].get_segments() for part in bars]
    for expert, segments in enumerate(lines):
        length = [float(np.ptp(segment[:, 1])) for segment in segments[:11]]
        assert length == pytest.approx(2 * shares.spread[:, expert])


def test_chart_of_a_gated_decoder_ends_with_both_halves_and_the_whole(shares):
    axes = gate_chart(shares).axes[0]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == [*shares.blocks, "all C", "all D", "all"]
    heights = [part.patches[-2].get_height() for part in axes.containers]
    assert heights == pytest.approx(shares.parts["decoder"][0])


def test_compared_chart_draws_both_and_second_less_first(shares):
    compared = compare_gates(shares, gate_shares(small_network(decoder="3d"), "ink"))
    top, middle, below = compared_chart(compared, "letters", "ink").axes
    assert [axes.get_title(loc="left") for axes in (top, middle)] == ["letters", "ink"]
    for axes, values in (
        (top, compared.first.mean),
        (middle, compared.second.mean),
        (below, compared.difference),
    ):
        bars = [[bar.get_height() for bar in part.patches[:11]] for part in axes.containers]
        heights = np.array(bars).T
        assert heights == pytest.approx(values)


def test_experts_differ_in_brightness_or_hatching_and_are_never_red_against_green():
    import colorsys

    from matplotlib.colors import to_rgb

    from napari_ink.analysis.gates_figures import COLOURS, HATCHES

    assert len(set(zip(COLOURS, HATCHES, strict=True))) == len(COLOURS)
    grey = [np.dot(to_rgb(c), (0.299, 0.587, 0.114)) for c in COLOURS]
    for first in range(len(COLOURS)):
        for second in range(first):
            apart = abs(grey[first] - grey[second]) > 0.15
            assert apart or HATCHES[first] != HATCHES[second], (first, second)
    hues = [360 * colorsys.rgb_to_hsv(*to_rgb(c))[0] for c in COLOURS[:5]]
    assert not [hue for hue in hues if 80 < hue < 170]  # green
