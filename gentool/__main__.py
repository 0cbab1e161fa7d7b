"""`python -m gentool` is `gentool`."""

from gentool.cli.main import main

main()
