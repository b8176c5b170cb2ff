"""The trainer: from labelled fragments to a checkpoint; ``python -m training.run CONFIG.yaml``."""
