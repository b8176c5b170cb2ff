"""Numbers and figures about a prediction or a checkpoint, headless."""
