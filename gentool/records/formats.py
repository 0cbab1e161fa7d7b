"""Refuse the files of later versions, and say which version reads them. No torch."""

from gentool.common.errors import GentoolError
from gentool.records.ranges import shown


def check_format(about: object, known: int, what: str) -> None:
    """Raise GentoolError unless a JSON object has a format that this version reads.

    `known` is the latest of them, and `what` names the object in messages.
    """
    if not isinstance(about, dict) or "format" not in about:
        raise GentoolError(f"{what} lacks format; the file is damaged")
    number = about["format"]
    if type(number) is int and 1 <= number <= known:
        return
    remedy = "the file is damaged"
    if type(number) is int and number > known:
        version = about.get("gentool")
        is_named = isinstance(version, str) and version
        remedy = f"update gentool to {shown(version)} or later" if is_named else "update gentool"
    raise GentoolError(f"{what} has the unknown format {shown(number)} (known: {known}); {remedy}")
