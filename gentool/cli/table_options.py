"""Declare the options that choose the networks and keys of a table, for `table` and `report`."""

from pathlib import Path
from typing import Annotated

import typer

Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", help="Measure files, or folders of them; - for stdin."),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        help="Keys of the columns, as recipe.labels,gap,l2; also @norms, recipe, measures or all.",
        show_default="what varies, errors, gap, the paper's measures",
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        help="Condition on the networks, as recipe.labels=true,random or 'gap<0.1'; repeat the "
        "option for several.",
        show_default=False,
    ),
]
Sort = Annotated[
    list[str] | None,
    typer.Option(
        help="Keys to sort by, as recipe.labels,-gap; from the largest down after a minus.",
        show_default="what varies",
    ),
]
