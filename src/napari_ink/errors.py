"""Errors that a user can do something about.

Each names the thing that is wrong and the remedy in one line. The command line prints that line
and exits with 2; the dock shows it once. Anything that is not an :class:`InkError` is a defect of
this program.
"""

from __future__ import annotations


class InkError(Exception):
    """Something the user can mend.

    Parameters
    ----------
    problem : str
        What is wrong, naming the file, setting or layer.
    remedy : str
        What to do about it.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem}: {remedy}")

    def __reduce__(self):
        return type(self), (self.problem, self.remedy)  # so that a worker process can raise one


class FragmentError(InkError):
    """A volume, mask or label on disk that cannot be used as it is."""


class CheckpointError(InkError):
    """A checkpoint file that is damaged, foreign or does not fit."""


class SettingsError(InkError):
    """A setting that does not fit the fragment, the checkpoint or the machine."""


class StoreError(InkError):
    """A prediction store that is locked, damaged or belongs to something else."""


class DeviceMemoryError(InkError):
    """The device has too little memory even for the smallest tile."""


class PredictionError(InkError):
    """The network or its runtime failed on this fragment, device or precision."""
