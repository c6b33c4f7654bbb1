"""What is remembered: feature groups, the ledger, blobs, packages, models, traffic. Knows nothing of flows or console."""
