"""Tell checkpoints, measure files and files of other programs apart. No torch."""

import zipfile
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
    if start[:2] in (b"PK", *_PICKLES):
        return "pytorch"
    if start.lstrip().startswith(b"{"):
        return "json"
    return "pytorch" if path.suffix in (".pt", ".pth") else None


CHECKPOINT = "a checkpoint of gentool train"
FOREIGN = "a checkpoint"
MEASURES = "a measure file"
WITNESS = "a witness"
STATE = "the state of a training run"
LAYERS = "a list of layers"
CONTENT = "the content of a checkpoint, as gentool inspect writes it"
VERDICTS = "a file of gentool claims"
LOG = "a log, as --log writes it"
TABLE = "a table of gentool"
TAKEN_BY = {
    CHECKPOINT: "gentool measure and gentool sharpness take it",
    FOREIGN: "gentool measure and gentool sharpness take it",
    MEASURES: "gentool plot and gentool claims take it",
    WITNESS: "gentool verify takes it, after its checkpoint",
    STATE: "gentool train --resume takes it, with the options of that run",
    LAYERS: "--layers takes it, beside the checkpoint",
    CONTENT: "name the checkpoint itself",
    VERDICTS: "it is a result that no command takes",
    LOG: "pandas and others take it, no command",
    TABLE: "give the measure files that it is of",
}
"""What the files of gentool are, in words, and which command takes them."""
CHECKPOINTS = (CHECKPOINT, FOREIGN)
MOST_READ = 2**16  # bytes that tell what a file is


def own_kind(path: Path) -> str | None:
    """Return which of gentool's own files this is, in words of TAKEN_BY; None for another file."""
    kind = file_kind(path)
    if kind is None:
        return None
    with path.open("rb") as file:
        start = file.read(MOST_READ)
    if kind == "safetensors":
        if b'"gentool-witness"' in start:
            return WITNESS
        if b'"gentool-state"' in start:
            return STATE
        return CHECKPOINT if b'"gentool"' in start else FOREIGN
    if kind == "pytorch":
        return STATE if path.suffix in (".state", ".last-state") else FOREIGN
    if b'"name": "claims"' in start:
        return VERDICTS
    if b'"gentool"' in start:
        names = {MEASURES: b'"measures"', CONTENT: b'"parameters"'}
    else:
        names = {LAYERS: b'"layers"'}
    return next((words for words, name in names.items() if name in start), None)


def other_format(path: Path) -> str | None:
    """Return what a file is, with the remedy, if it can be no checkpoint that is read; else None.

    Called for a file that is named as a checkpoint, when it is about to be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError:
        return None  # reported where the file is read
    if (own := own_kind(path)) not in (None, *CHECKPOINTS):
        return f"{own}, not a checkpoint; {TAKEN_BY[own]}"
    if not start:
        return "empty; copy it again"
    if start[:2] == b"PK":
        return _kind_of_zip(path)
    for signature, words in _SIGNATURES:
        if start.startswith(signature):
            return words
    if start[257:262] == b"ustar":
        return "a tar archive; unpack it, or save the state dict with a PyTorch of today"
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head")):
        return "an HTML page, not the file behind a link; download the file itself"
    if text.startswith((b"<?xml", b"<error")):
        return "an XML text, perhaps an error of a server; download the file itself"
    if start[:1] == b"\x08" and (path.suffix == ".onnx" or start[2:3] in (b"\x12", b"\x1a")):
        return "an ONNX model; save the state_dict() of the PyTorch model"
    is_text = all(byte >= 32 or byte in b"\t\n\r\f" for byte in start)
    if is_text and path.suffix in (".pt", ".pth", ".ckpt") and text[:1] not in (b"{", b"["):
        return "a text, not a checkpoint; download or copy the file itself"
    return None


_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_SAVE = "save the state_dict() of the PyTorch model"
_SIGNATURES = (
    (
        b"version https://git-lfs",
        "a git-LFS pointer, not the file that it points to; fetch it with git lfs pull",
    ),
    (b"\x89HDF\r\n\x1a\n", f"an HDF5 file, as Keras writes; {_SAVE}"),
    (b"\x1f\x8b", "compressed with gzip; unpack it with gunzip"),
    (b"BZh", "compressed with bzip2; unpack it with bunzip2"),
    (b"\xfd7zXZ", "compressed with xz; unpack it with unxz"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; unpack it with unzstd"),
    (b"7z\xbc\xaf", "a 7-Zip archive; unpack it"),
    (b"Rar!", "a RAR archive; unpack it"),
    (b"\x93NUMPY", "one array of NumPy; a checkpoint holds the weights by name"),
    (b"GGUF", f"a GGUF model; {_SAVE}"),
    (b"MATLAB", f"a MATLAB file; {_SAVE}"),
    (b"%PDF", "a PDF document, not a checkpoint"),
    (b"\x89PNG", "a PNG image, not a checkpoint"),
    (b"\xff\xd8\xff", "a JPEG image, not a checkpoint"),
)


def _kind_of_zip(path: Path) -> str | None:
    """Return what a zip archive is, if torch.save did not write it."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None  # reported as damaged where it is read
    leaves = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in leaves or any("/code/__torch__" in name for name in names):
        return (
            "a TorchScript archive, a program and not weights; save the state_dict() of the module "
            "(torch.jit.load(FILE).state_dict() reads it, and runs the program's code)"
        )
    if "data.pkl" in leaves:
        return None
    if names and all(name.endswith(".npy") for name in names):
        arrays = ", ".join(name.removesuffix(".npy") for name in names[:3])
        return (
            f"an npz archive of NumPy arrays ({arrays}); in Python, torch.save a dict of them: "
            "{name: torch.from_numpy(array) for name, array in numpy.load(FILE).items()}"
        )
    if "model.weights.h5" in leaves:
        return f"a Keras archive; {_SAVE}"
    inside = ", ".join(names[:3])
    return f"a zip archive, not one of torch.save ({inside}); unpack it"
