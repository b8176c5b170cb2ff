"""Volumes: what lies on disk becomes a ``Fragment`` that reads any window lazily."""
