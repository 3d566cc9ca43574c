"""How far a coloring is from the truth, and where: metrics, segmentation, error maps. Imports imaging."""
