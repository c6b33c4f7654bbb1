"""What people read: the data analysis, a model's report, the drift report."""
