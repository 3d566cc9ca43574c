"""What train.py and refine.py are made of: options, batches, steps and their time, states to resume from, the log."""
