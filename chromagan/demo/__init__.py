"""What the demo does, knowing nothing of widgets; app.py has those."""
