"""The users' room for feature groups: one file a domain, each with ``FEATURES``; nobody imports them by name."""
