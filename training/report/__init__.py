"""One page about a run, from its folder alone: ``python -m training.report runs/NAME``."""

from training.report.write import write_report

__all__ = ["write_report"]
