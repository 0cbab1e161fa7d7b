"""Turn errors into messages of one line and exit codes."""

import typer

from gentool.common.errors import GentoolError


def message_and_code(error: Exception) -> tuple[str, int]:
    """Return the message and the exit code of an error."""
    if isinstance(error, GentoolError):
        return str(error), error.exit_code
    usage_error = typer.BadParameter.__bases__[0]  # click's UsageError, which typer does not export
    if isinstance(error, usage_error):
        return f"{error.format_message()} (--help shows the options)", 2
    if isinstance(error, MemoryError) or "out of memory" in str(error):
        return "out of memory; lower --batch-size or --subset, or use another --device", 1
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror or error}", 1
    return f"{type(error).__name__}: {error} (a bug in gentool; --debug shows where)", 1
