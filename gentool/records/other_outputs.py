"""Tell what gentool writes as JSON beside records: verdicts, logs, tables, layers. No torch.

A folder of results holds them beside measure files, and is read all the same.
"""

import re

from gentool.common.errors import GentoolError
from gentool.records.file_kind import CONTENT, LAYERS, LOG, TABLE, VERDICTS
from gentool.records.key_words import words
from gentool.records.measure_file import KEY_PARTS

_OF_A_GROUP = re.compile(r"_(mean|sd|n)$")  # columns of a table with averages


class OtherOutputError(GentoolError):
    """Raised for a file that holds another output of gentool in the place of records."""


def other_output(document: object) -> str | None:
    """Return what a JSON document is, in words of TAKEN_BY, if gentool wrote it, but no record.

    Files are told apart by how they begin (`file_kind.own_kind`), documents by what they hold.
    """
    if not isinstance(document, dict):
        return None
    keys = document.keys()
    command = document.get("command")
    if "format" in keys:
        is_inspection = isinstance(command, dict) and command.get("name") == "inspect"
        return CONTENT if is_inspection else None
    if {"claims", "kendall", "networks"} <= keys:
        return VERDICTS
    if isinstance(command, str) and {"network", "file", "time"} <= keys:
        return LOG
    if keys == {"input_shape", "layers"}:
        return LAYERS
    is_flat = not any(isinstance(value, dict) for value in document.values())
    return TABLE if is_flat and any(map(_is_column, keys)) else None


def _is_column(key: str) -> bool:
    """Return whether a name is one of a table's columns: a known measure or a dotted path."""
    key = _OF_A_GROUP.sub("", key)
    part, dot, _ = key.partition(".")
    return words(key) != key or bool(dot and part in KEY_PARTS)
