"""What building a model is made of: features published, rows assembled, split, tuned, fitted, analysed, compared, stored."""
