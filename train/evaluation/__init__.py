"""The parts of evaluate.py and report.py: parallel measuring, intervals, claims, costs, the report."""
