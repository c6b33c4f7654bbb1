"""Packages, models, aliases, dues and who served when: views over the ledger, and the few moves that append to it."""
