"""The demo except its widgets, which are in app.py: photos, checkpoints, measures, files and the page's HTML."""
