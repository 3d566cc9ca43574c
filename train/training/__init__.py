"""What train.py is made of: options, batches, the training step, states to resume from, the log."""
