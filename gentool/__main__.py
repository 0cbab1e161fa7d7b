"""Run the command line for `python -m gentool`."""

from gentool.cli.main import main

main()
