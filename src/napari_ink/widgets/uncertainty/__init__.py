"""Ink ▸ Uncertainty: how sure a prediction is, and where it is not."""
