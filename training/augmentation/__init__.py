"""What papyrus, scanner and labeller could have done otherwise: windows changed on the device."""

from training.augmentation.config import AugmentationConfig
from training.augmentation.pipeline import Augmentation

__all__ = ["Augmentation", "AugmentationConfig"]
