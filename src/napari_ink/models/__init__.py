"""Networks: one architecture a file, their contract, and the checkpoint that carries them."""
