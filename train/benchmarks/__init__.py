"""What benchmark.py is made of: the cost of coloring photos, and what edge-aware chroma brings."""
