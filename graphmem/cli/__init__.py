"""The command line."""

from graphmem.cli.commands import main

__all__ = ["main"]
