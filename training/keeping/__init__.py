"""What stays of a run: its folder, logs and checkpoints, and the file that it ends in."""
