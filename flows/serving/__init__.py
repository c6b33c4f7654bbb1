"""The model service: HTTP on an alias, hot-swapped; every answer is on disk before it is given."""
