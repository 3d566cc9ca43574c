"""What evaluate.py and report.py are made of: measuring, intervals, claims, costs, figures."""
