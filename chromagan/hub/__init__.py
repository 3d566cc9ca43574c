"""Checkpoints in a folder or on the Hugging Face Hub: list, load, save, publish and export.

Imports network and imaging.
"""
