"""Read the JSON documents of a file: one, one a line (JSON Lines), or several in a row. No torch.

`measure -o - > all.jsonl` writes JSON Lines, and `cat *.json > all.json` documents in a row.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from gentool.common.errors import GentoolError
from gentool.common.json import first_value, loads
from gentool.records.file_kind import CHECKPOINTS, FOREIGN, TAKEN_BY, own_kind

STDIN = Path("-")


def documents(path: Path) -> Iterator[tuple[str, object]]:
    """Return each JSON document of a file, or the error in its place, and where it is, in words."""
    text = _text(path)
    if _is_json_lines(text):
        yield from _lines(path, text)
    else:
        yield from _objects(path, text)


def _is_json_lines(text: str) -> bool:
    """Return whether a text is JSON Lines, of which some may be damaged, by its first lines."""
    first = [line.strip() for line in text.split("\n", 9)[:9] if line.strip()]
    return len(first) > 1 and any(line[0] == "{" and line[-1] == "}" for line in first[:3])


def _lines(path: Path, text: str) -> Iterator[tuple[str, object]]:
    """Return the document of each line of JSON Lines; a damaged line does not end the others."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            yield where, loads(line)
        except ValueError as error:
            yield where, GentoolError(f"{where} is not JSON ({error})")


def _objects(path: Path, text: str) -> Iterator[tuple[str, object]]:
    """Return the JSON documents of a text, one after the other; a damaged one ends it."""
    place, count = _SPACE.match(text).end(), 0
    while place < len(text) or not count:
        count += 1
        where = str(path) if count == 1 else f"{path}, record {count}"
        try:
            document, end = first_value(text, place)
        except ValueError as error:
            yield where, GentoolError(f"{where} is not JSON ({error})")
            return
        yield where, document
        place = _SPACE.match(text, end).end()


def _text(path: Path) -> str:
    """Return the text of a file; raise GentoolError that says what it is if it is no text."""
    try:
        content = sys.stdin.buffer.read() if path == STDIN else path.read_bytes()
    except FileNotFoundError:
        raise GentoolError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise GentoolError(f"{path} is a folder; name the measure files in it") from None
    except OSError as error:
        raise GentoolError(f"cannot read {path}: {error.strerror}") from error
    try:
        return content.decode("utf-8-sig")  # some editors put a mark before the first character
    except UnicodeDecodeError as error:
        if path != STDIN and (kind := own_kind(path)) is not None:
            if kind in CHECKPOINTS:
                kind, remedy = FOREIGN, "gentool measure makes one"
            else:
                remedy = TAKEN_BY[kind]
            raise GentoolError(f"{path} is {kind}, not a measure file; {remedy}") from None
        raise GentoolError(f"{path} is not JSON ({error})") from error


_SPACE = re.compile(r"\s*")
