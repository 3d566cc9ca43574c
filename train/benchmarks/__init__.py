"""What benchmark.py is made of: what is counted, the training step, the network, coloring files, edge-aware chroma."""
