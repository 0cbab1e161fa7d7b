"""Return the records of files as a pandas DataFrame. Imports pandas when it is called."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from gentool.common.errors import GentoolError
from gentool.records.conditions import parse_condition
from gentool.records.given import Given, given_records
from gentool.records.measure_file import merge
from gentool.records.table import TableOptions, make_table
from gentool.records.table_files import flat, plain

if TYPE_CHECKING:
    import pandas as pd


def frame(
    paths: Given | Iterable[Given],
    columns: str | Sequence[str] = "all",
    *,
    where: str | Sequence[str] = (),
    sort: str | Sequence[str] = (),
    group_by: str | Sequence[str] = (),
    layers: bool = False,
) -> "pd.DataFrame":
    """Return the networks of measure files as a DataFrame: a row a network, a column a key.

    `paths` are measure files, files of JSON Lines, folders of them, or records in memory, as
    `gentool.measure` returns them; those about one network are joined. `columns` are keys as l2,
    gap, recipe.labels or outcome.test_error, a part of the record (recipe, outcome, margin, log10,
    measures), or all. `where` holds conditions as "recipe.labels=true,random" or "gap<0.1"; `sort`
    keys, from the largest down after a minus. `group_by` averages over seeds: KEY_mean, KEY_sd and
    n, within networks that are alike in all but the seed. `layers` gives a row a weight layer, with
    keys as layer.spectral.

    Errors are fractions, losses mean cross-entropies. Values that do not exist are missing (NaN);
    one beyond the floats is inf, and its logarithm is in log10.KEY.

    Raise GentoolError if pandas is not installed, if no file can be read, or for an unknown key.
    Warn about a file that cannot be read, and leave it out.

        from gentool.records import frame

        networks = frame("results", ["recipe.labels", "recipe.subset", "gap", "spectral"])
        print(networks.groupby("recipe.labels").corr(method="kendall", numeric_only=True))
    """
    try:
        import pandas as pd
    except ImportError:
        raise GentoolError(
            "gentool.records.frame needs pandas; install it with pip install 'gentool[pandas]'"
        ) from None
    networks = merge(given_records(paths))
    options = TableOptions(
        _names(columns),
        tuple(map(parse_condition, [where] if isinstance(where, str) else where)),
        _names(sort),
        _names(group_by),
        layers,
    )
    names, rows = flat(make_table(networks, options))
    cells = {name: [plain(row[i]) for row in rows] for i, name in enumerate(names)}
    return pd.DataFrame(cells, columns=names)


def _names(keys: str | Sequence[str]) -> tuple[str, ...]:
    """Return keys given as one text with commas, or one by one."""
    return tuple(keys.split(",")) if isinstance(keys, str) else tuple(keys)
