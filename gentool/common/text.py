"""Make text safe to print: a name of a file must not move the cursor or change the colours."""


def printable(text: str) -> str:
    r"""Return a text with its control characters escaped, as \x1b or \n.

    So are marks that reverse the direction of text, halves of surrogate pairs, and spaces other
    than the plain one, which look like it.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )
