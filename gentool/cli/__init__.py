"""Provide the command line: options in, one call, files out. No mathematics."""
