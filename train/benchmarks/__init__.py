"""What benchmark.py is made of: how is timed, the training step, the network, coloring files, edge-aware chroma."""
