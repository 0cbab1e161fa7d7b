"""Make text from outside safe to print and to record: names of files, metadata, errors.

The traps avoided: a name that moves the cursor of a terminal or reverses a line, and a name whose
bytes are no UTF-8, which Python holds as halves of surrogate pairs that no file and no terminal
takes.
"""

import re

LONGEST = 40  # characters of a value in a message
_ESCAPED_BYTE = re.compile(rb"\\x([89a-f][0-9a-f])")


def printable(text: str) -> str:
    r"""Return a text with its control characters escaped, as \x1b or \n.

    So are marks that reverse the direction of text or have no width, bytes that are no UTF-8, and
    spaces other than the plain one, which look like it.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in recordable(text)
    )


def recordable(text: str) -> str:
    r"""Return a text that every file can hold: a name's bytes that are no UTF-8 as \xff.

    Where the locale knows ASCII alone, Python holds all other bytes of a name so; those that are
    UTF-8 become its characters.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        pass
    else:
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # halves that stand for no byte, and come from no name of a file
        return text.encode("utf-8", "backslashreplace").decode()


def bytes_of_recorded(text: str) -> bytes:
    r"""Return the bytes of a name that `recordable` returned; \xff is taken for a byte."""
    escaped = text.encode("utf-8", "surrogateescape")
    return _ESCAPED_BYTE.sub(lambda match: bytes([int(match[1], 16)]), escaped)


def shortened(value: str) -> str:
    """Return a value as it is shown in a message: of many digits the first ones."""
    return value if len(value) <= LONGEST else f"{value[: LONGEST - 3]}..."
