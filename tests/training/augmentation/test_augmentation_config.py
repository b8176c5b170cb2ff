"""The transforms' settings: from YAML, and what is refused by name."""

import jsonargparse
import pytest
import yaml
from augmentation_samples import config, random_batch

from napari_ink.errors import SettingsError
from napari_ink.models.registry import build
from training.augmentation import Augmentation, AugmentationConfig
from training.augmentation.config import TRANSFORMS

#: The list on slide 18 of the 2nd place; its mixing and layers as in SOURCES.md D.
SECOND_PLACE = """
flip: {p: 0.5}
turn: {p: 0.675}  # RandomRotate90 leaves a quarter of its 0.9 as they are
affine: {p: 0.9, shift: 0.0625, scale: 0.2, degrees: 15}
one_of:
  p: 0.9
  among: [elastic, blur, noise, optical_distortion, grid_distortion, piecewise_affine]
elastic: {p: 0.3}
blur: {p: 0.3}
noise: {p: 0.3}
optical_distortion: {p: 0.3}
grid_distortion: {p: 0.1}
piecewise_affine: {p: 0.3}
contrast: {p: 0.3, gain: 0.3, offset: 0.3}
cutout: {p: 0.5, sides: [32, 64], grid: 32}
group_shuffle: {p: 0.2, group: 5}
z_shift: {p: 0.5, layers: 2}
mixup: {p: 0.25, alpha: 0.2}
manifold_mixup: {p: 0.25, alpha: 0.2}
cutmix: {p: 0.25}
label_smoothing: {p: 1, amount: 0.1}
"""


def read(text, *overrides):
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--augmentation", type=AugmentationConfig, default=AugmentationConfig())
    arguments = ["--augmentation", yaml.safe_dump(yaml.safe_load(text)), *overrides]
    return parser.instantiate_classes(parser.parse_args(arguments)).augmentation


def test_the_second_places_list_is_read_from_yaml():
    change = read(SECOND_PLACE, "--augmentation.affine.degrees=20")
    assert change.affine.degrees == 20
    assert change.affine.p == 0.9
    assert change.cutout.sides == (32, 64)
    assert change.one_of.among[0] == "elastic"
    assert change.z_flip.p == change.layer_dropout.p == 0
    batch = random_batch(size=6, depth=35, side=96)
    assert Augmentation(change, 1)(batch).volume.shape == batch.volume.shape


def test_every_transform_is_off_unless_asked_for():
    assert all(getattr(AugmentationConfig(), name).p == 0 for name in TRANSFORMS)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"flip": {"p": 1.1}}, "augmentation.flip.p"),
        ({"noise": {"p": float("nan")}}, "augmentation.noise.p"),
        ({"affine": {"p": 1, "scale": 1.0}}, "augmentation.affine.scale"),
        ({"elastic": {"amplitude": 8, "cell": 16}}, "augmentation.elastic.amplitude"),
        ({"optical_distortion": {"limit": 0.2}}, "augmentation.optical_distortion.limit"),
        ({"piecewise_affine": {"jitter": 0.3}}, "augmentation.piecewise_affine.jitter"),
        ({"grid_distortion": {"cells": 0}}, "augmentation.grid_distortion.cells"),
        ({"label_smoothing": {"amount": 0.6}}, "augmentation.label_smoothing.amount"),
        ({"cutout": {"sides": ()}}, "augmentation.cutout.sides"),
        ({"cutout": {"sides": (8, 0)}}, "augmentation.cutout.sides"),
        ({"mixup": {"p": 0.6}, "cutmix": {"p": 0.6}}, "augmentation.cutmix"),
        ({"mixup": {"alpha": 0}}, "augmentation.mixup.alpha"),
        ({"one_of": {"p": 0.5}}, "augmentation.one_of"),
        ({"one_of": {"p": 0.5, "among": ("blur",)}}, "augmentation.blur.p"),
        ({"blur": {"p": 1}, "one_of": {"p": 1, "among": ("blr",)}}, "'blr'"),
        ({"blur": {"p": 1}, "one_of": {"p": 1, "among": ("blur", "blur")}}, "'blur' twice"),
        ({"cutmix": {"p": 1}, "one_of": {"p": 1, "among": ("cutmix",)}}, "'cutmix'"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(settings, key):
    with pytest.raises(SettingsError) as caught:
        config(**settings)
    assert key in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_does_not_fit_windows_or_network_is_refused_before_any_work():
    network = build("repmode", {"width": 2, "levels": 2, "depth": 8})
    Augmentation(config(cutout={"p": 1, "sides": (16,)}), 1).check(network, 32)
    Augmentation(config(manifold_mixup={"p": 1}), 1).check(network, 32)
    with pytest.raises(SettingsError, match=r"augmentation\.cutout\.sides"):
        Augmentation(config(cutout={"p": 1}), 1).check(network, 64)
    with pytest.raises(SettingsError, match=r"augmentation\.layer_dropout\.layers"):
        Augmentation(config(layer_dropout={"p": 1, "layers": 8}), 1).check(network, 32)
    network.mix_at = None
    with pytest.raises(SettingsError, match=r"augmentation\.manifold_mixup\.p"):
        Augmentation(config(manifold_mixup={"p": 1}), 1).check(network, 32)


def test_bounds_themselves_are_allowed():
    config(affine={"scale": 0.9, "degrees": 180}, elastic={"cell": 10, "amplitude": 4.8})
    config(mixup={"p": 0.5}, manifold_mixup={"p": 0.25}, cutmix={"p": 0.25})
