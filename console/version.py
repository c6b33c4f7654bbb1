"""The version, read from the installed workspace."""

from importlib.metadata import version

VERSION = version("assay")
