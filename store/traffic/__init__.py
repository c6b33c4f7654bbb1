"""What services were asked and what became of it: the spool, predictions and outcomes, and the drain between them."""
