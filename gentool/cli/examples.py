"""Define `gentool examples`: copy the example scripts and the notebook. Imports no torch."""

from pathlib import Path
from typing import Annotated

import typer

from gentool.cli import options
from gentool.common.console import print_path, say
from gentool.common.errors import GentoolError
from gentool.common.files import check_output, write_whole

PACKAGE = Path(__file__).parents[1]
NAMES = ("*.sh", "Snakefile", "*.ipynb", "README.md")


@options.shared
def examples(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder to copy to; made if it is missing.")
    ],
    *,
    outputs: options.Outputs,
    messages: options.Messages,
) -> None:
    """Copy the example scripts and the notebook into a folder.

    These are the quickstart, the scripts of the paper's figures, a workflow for Snakemake, and a
    tour in Python as a Jupyter notebook. The scripts call the gentool that is on the PATH.

    \b
    Example:
      gentool examples gentool-examples --skip-existing
    """
    sources = example_files()
    existing = outputs.existing()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GentoolError(f"cannot make the folder {folder}: {error.strerror}") from error
    missing = [source for source in sources if check_output(folder / source.name, existing)]
    for source in sources:
        target = folder / source.name
        if source in missing:
            write_whole(target, source.read_bytes())
        print_path(target)
    if not messages.quiet:
        say(f"{len(missing)} files copied; begin with: sh {folder / 'quickstart.sh'}")


def example_files() -> list[Path]:
    """Return the examples: in an installed package beside its code, else those of the clone."""
    places = (PACKAGE / "_examples", PACKAGE.parent / "examples")
    folder = next((place for place in places if (place / "quickstart.sh").is_file()), None)
    if folder is None:
        raise GentoolError(f"{PACKAGE} was installed without its examples; install it again")
    return sorted(file for name in NAMES for file in folder.glob(name))
