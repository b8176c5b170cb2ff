"""The weakest ink that a checkpoint finds; see :mod:`training.detection_limit.__main__`."""
