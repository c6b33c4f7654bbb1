"""``python -m console.cli``: the command line, where the script ``assay`` is not on the path."""

from console.cli import main

main()
