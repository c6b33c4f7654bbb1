"""What a person touches: the command line, the ops console, the demo."""
