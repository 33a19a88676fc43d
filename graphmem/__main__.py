"""`python -m graphmem`: the command line."""

from graphmem.cli.commands import main

main()
