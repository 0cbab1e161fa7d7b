"""`python -m gentool` is `gentool`."""

from gentool.cli import main

main()
