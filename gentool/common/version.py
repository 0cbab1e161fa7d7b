"""Hold the version of gentool."""

__version__ = "0.1.0"
