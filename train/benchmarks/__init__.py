"""The parts of benchmark.py: counting, the training step, the network, coloring files, edge-aware chroma."""
