"""The work of `colorize`: which files it will write, photos and folders of them, streams."""
