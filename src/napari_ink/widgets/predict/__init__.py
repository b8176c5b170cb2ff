"""Ink ▸ Predict: choose, predict, watch the ink grow."""
