"""The settings of a run: what they are, and how they are read and checked."""
