"""The parts of train.py and refine.py: options, batches, steps and their timing, states to resume from, the log."""
