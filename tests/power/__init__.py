"""What the checks are worth, measured: clean pipelines of many kinds must raise no alarm, and in each every planted fault must be found.

``make power`` proves them all and writes ``docs/power.md``.
"""
