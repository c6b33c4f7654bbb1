"""The pure decisions: has the data drifted, has the model fallen, is a retraining due, does the challenger win."""
