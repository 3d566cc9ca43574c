"""What evaluate.py and report.py are made of: measuring and its sharing out, intervals, claims, costs, the report."""
