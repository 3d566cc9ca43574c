"""The command line: its commands, and coloring many files. Imports every other folder but demo."""
