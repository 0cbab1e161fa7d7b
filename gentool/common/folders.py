"""Find the files that are named: a folder stands for the checkpoints or records in it. No torch."""

from pathlib import Path

from gentool.common.errors import GentoolError

CHECKPOINTS = (".safetensors", ".pt", ".pth", ".ckpt")
RECORDS = (".json", ".jsonl")


def files_in(paths: list[Path], suffixes: tuple[str, ...] = CHECKPOINTS) -> list[Path]:
    """Return the files that are named, and in place of a folder the files in it with the suffixes.

    Files of a folder are in the order of their names; its subfolders and hidden files are left
    aside, and so is a file that is named already. Raise GentoolError for a folder without any.
    """
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(
            file
            for file in path.iterdir()
            if file.suffix in suffixes and not file.name.startswith(".") and file.is_file()
        )
        if not inside:
            raise GentoolError(f"{path} is a folder without {', '.join('*' + s for s in suffixes)}")
        named = set(files)
        files += [file for file in inside if file not in named]
    return files
