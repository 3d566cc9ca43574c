"""Checkpoints in a folder or on the Hugging Face Hub: list, load, save, publish, export.

Imports network and imaging.
"""
