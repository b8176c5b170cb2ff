"""Ink ▸ Thresholds: where to cut, and what each cut scores."""
