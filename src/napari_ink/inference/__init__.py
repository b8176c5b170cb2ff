"""From a fragment and a checkpoint to a prediction: plan, tiles, runtimes, store."""
