"""Files of tables: every digit for programs, words for people; what is read back is the same."""

import csv
import io
import json

import pytest
from helpers.claim_records import network
from helpers.records import whole

from gentool.common.errors import UsageError
from gentool.records.cells import Large, NoValue
from gentool.records.measure_file import merge, write
from gentool.records.table import Table, TableOptions, make_table
from gentool.records.table_files import as_bytes, format_of

THIRD = 1 / 3
TABLE = Table(
    ["checkpoint.file", "recipe.subset", "l2", "spectral"],
    [["a,b_1.pt", 500, 1e15 * THIRD, NoValue.NULL], ["c|d\x1b.pt", 1000, Large(400.5), THIRD]],
    1,
)


def averaged():
    records = [network(seed=seed, l2=float(seed)) for seed in (0, 1)]
    records.append(network(seed=0, sharpness=0.5))
    options = TableOptions(columns=("l2", "sharpness"), group_by=("recipe.labels",))
    return make_table(merge(records), options)


def test_csv_holds_keys_and_every_digit():
    """A number that no float holds is written out; a cell without a value is empty."""
    rows = list(csv.reader(io.StringIO(as_bytes(TABLE, "csv").decode())))
    assert rows[0] == TABLE.columns
    assert rows[1] == ["a,b_1.pt", "500", repr(1e15 * THIRD), ""]
    assert rows[2][2] == "3.1622776601683795e400"
    assert float(rows[2][3]) == THIRD


def test_a_mean_is_three_columns_in_csv():
    """Its number is a column of its own only where it is not that of the row."""
    head, row = as_bytes(averaged(), "csv").decode().splitlines()
    assert head == "recipe.labels,n,l2_mean,l2_sd,sharpness_mean,sharpness_sd,sharpness_n"
    assert row == f"true,2,5.5,{(2 * 4.5**2) ** 0.5!r},0.5,,1"


def test_json_lines_tell_null_and_absent_apart():
    made = Table(["a", "b"], [[NoValue.NULL, NoValue.ABSENT], [float("inf"), THIRD]], 0)
    lines = [json.loads(line) for line in as_bytes(made, "jsonl").decode().splitlines()]
    assert lines == [{"a": None}, {"a": None, "b": THIRD}]


def test_markdown_is_a_table_of_rounded_numbers_with_escaped_names():
    lines = as_bytes(TABLE, "md").decode().splitlines()
    assert lines[0].split() == ["|", "network", "|", "subset", "|", "l2", "|", "spectral", "|"]
    assert lines[1].replace("-", "") == "|  | : | : | : |"
    assert lines[3].startswith(r"| c\|d\\x1b.pt |")
    assert "3.162e400 |   0.3333 |" in lines[3]
    assert len({len(line) for line in lines}) == 1


def test_latex_is_a_tabular_of_booktabs():
    text = as_bytes(TABLE, "tex").decode()
    assert r"\begin{tabular}{lrrr}" in text
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]
    assert r"a,b\_1.pt & 500 & $3.333 \times 10^{14}$ & -- \\" in text
    assert r"c\textbar{}d\textbackslash{}x1b.pt & 1000 & $3.162 \times 10^{400}$ & 0.3333" in text
    assert r"$5.5 \pm 6.4$" in as_bytes(averaged(), "tex").decode()


def test_parquet_holds_the_same_numbers(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "a.parquet").write_bytes(as_bytes(TABLE, "parquet"))
    read = parquet.read_table(tmp_path / "a.parquet").to_pydict()
    assert read["recipe.subset"] == [500, 1000]
    assert read["l2"] == [1e15 * THIRD, float("inf")]
    assert read["spectral"] == [None, THIRD]


def test_labels_of_two_types_are_texts_in_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    made = Table(["recipe.labels"], [["true"], [0.3], [NoValue.NULL]], 1)
    (tmp_path / "a.parquet").write_bytes(as_bytes(made, "parquet"))
    read = parquet.read_table(tmp_path / "a.parquet").to_pydict()
    assert read == {"recipe.labels": ["true", "0.3", None]}


def test_a_format_is_named_or_told_by_the_ending(tmp_path):
    assert format_of(tmp_path / "a.tex", None) == "tex"
    assert format_of(tmp_path / "a.txt", "latex") == "tex"
    with pytest.raises(UsageError, match=r"written as \.csv, \.md, \.tex, \.jsonl, \.parquet"):
        format_of(tmp_path / "a.xlsx", None)


def records_in(folder):
    for i, seed in enumerate((0, 1, 2)):
        record = network(seed=seed, l2=float(seed), sharpness=seed / 10)
        record["layers"] = [{"name": "0", "shape": [2, 3], "spectral": 1.5}]
        write(folder / f"{i}.measures.json", whole(record))


def test_a_frame_is_the_same_table(tmp_path):
    """All keys by default: settings, outcomes, measures and their logarithms, the gap."""
    pandas = pytest.importorskip("pandas")
    from gentool.records import frame

    records_in(tmp_path)
    networks = frame(tmp_path)
    assert isinstance(networks, pandas.DataFrame)
    assert list(networks["l2"]) == [1.0, 10.0, 100.0]
    assert {"recipe.seed", "outcome.test_error", "gap", "log10.l2"} <= set(networks.columns)
    chosen = frame([tmp_path / "0.measures.json", tmp_path / "2.measures.json"], "recipe.seed,l2")
    assert list(chosen["recipe.seed"]) == [0, 2]
    kept = frame(str(tmp_path), ["l2"], where="recipe.seed!=1", sort="-l2")
    assert list(kept["l2"]) == [100.0, 1.0]
    grouped = frame(tmp_path, "l2", group_by="recipe.labels")
    assert list(grouped.iloc[0][["n", "l2_mean"]]) == [3, 37.0]
    assert list(frame(tmp_path, "layer.spectral", layers=True)["layer.spectral"]) == [1.5] * 3


def test_a_frame_leaves_out_a_file_that_cannot_be_read_with_a_warning(tmp_path):
    pytest.importorskip("pandas")
    from gentool.records import frame

    records_in(tmp_path)
    (tmp_path / "other.json").write_text("{}")
    with pytest.warns(UserWarning, match=r"other\.json is not a measure file"):
        assert len(frame(tmp_path)) == 3


def test_without_pandas_the_error_names_the_extra(tmp_path, monkeypatch):
    import sys

    from gentool.common.errors import GentoolError
    from gentool.records import frame

    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(GentoolError, match=r"pip install 'gentool\[pandas\]'"):
        frame(tmp_path)
