"""What any pipeline can be put through without its author writing a test: the checks, and the slice of the world they
work on."""
