"""Which windows to learn from, and how they are fed to the network."""
