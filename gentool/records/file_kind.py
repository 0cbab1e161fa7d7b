"""Tell checkpoints and measure files apart by their first bytes. No torch."""

from pathlib import Path
from typing import Literal

FileKind = Literal["safetensors", "pytorch", "json"]


def file_kind(path: Path) -> FileKind | None:
    """Return the format of a file, None for another format, a folder or a missing file.

    A safetensors file begins with the length of its header in eight bytes, the highest of which is
    0, and a brace. torch.save writes a zip or, in older versions, a pickle of protocol 2. A file
    that begins as none of these is taken for PyTorch's if it is called .pt or .pth.

    The trap avoided: the length of a header may spell PK, as a zip begins, so that comes second.
    """
    if not path.is_file():
        return None
    with path.open("rb") as file:
        start = file.read(64)
    if b"\0" in start[:8] and start[8:9] == b"{":
        return "safetensors"
    if start[:2] in (b"PK", b"\x80\x02"):
        return "pytorch"
    if start.lstrip().startswith(b"{"):
        return "json"
    return "pytorch" if path.suffix in (".pt", ".pth") else None
