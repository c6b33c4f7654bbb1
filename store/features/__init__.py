"""Feature groups: declared, written at one door, joined point-in-time, frozen for training, looked up online."""
