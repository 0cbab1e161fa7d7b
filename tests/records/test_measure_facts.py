"""Groups of measures: which measures they hold, and where they are selected."""

import json

import pytest
from helpers.page_tables import FACTS, measure_facts

from gentool.claims.report import report
from gentool.cli.main import run
from gentool.common.errors import UsageError
from gentool.measures import MEASURES
from gentool.records.measure_facts import facts_by_name, group_names, groups, with_groups


def test_the_list_of_measures_is_what_the_code_says():
    """`PYTHONPATH=. python tests/helpers/page_tables.py` writes it."""
    assert FACTS.read_text("utf-8") == measure_facts()


def test_every_group_has_a_measure_and_no_standard_error():
    for group in groups():
        names = group_names(group)
        assert names
        assert not any(name.endswith("_stderr") for name in names)


def test_all_is_every_measure_and_cheap_is_the_default_of_measure():
    assert set(group_names("@all")) == {n for n in facts_by_name() if not n.endswith("_stderr")}
    assert group_names("@cheap") == [m.name for m in sorted(MEASURES.select(None), key=_rank)]


def _rank(measure):
    return list(facts_by_name()).index(measure.name)


@pytest.mark.parametrize(
    ("group", "name"),
    [
        ("@norms", "l1_path"),
        ("@path-norms", "l2_path_bound_operator"),
        ("@path_norms", "l1_path"),
        ("@jiang2020", "inverse_margin_jiang2020"),
        ("@dziugaite2020", "sum_of_squares"),
        ("@sharpness", "sharpness_keskar"),
        ("@hessian", "hessian_trace"),
        ("@search", "expected_sharpness"),
    ],
)
def test_a_group_holds_the_measures_of_its_family_source_or_cost(group, name):
    assert name in group_names(group)


def test_a_group_stands_for_its_measures_that_are_known_each_once():
    names = ["margin", "@norms", "l2", "gap"]
    assert with_groups(names, ["l2", "spectral"]) == ["margin", "l2", "spectral", "gap"]


@pytest.mark.parametrize(
    ("group", "message"),
    [("@nroms", "did you mean '@norms'"), ("@sharpness", "no file has a measure of @sharpness")],
)
def test_a_group_without_measures_is_a_usage_error(group, message):
    with pytest.raises(UsageError, match=message):
        with_groups([group], ["l2"])


def test_groups_are_selected_in_measure_table_plot_and_claims(saved, tmp_path, capsys):
    """Of one network: the rows and columns are the measures of the group."""
    path = tmp_path / "net.json"
    assert run(["measure", str(saved), "--only", "@sizes,margin", "-o", str(path), "-q"]) == 0
    record = json.loads(path.read_text())
    sizes = group_names("@sizes")
    assert list(record["measures"]) == [*sizes, "margin"]
    assert record["command"]["only"] == [*sizes, "margin"]
    capsys.readouterr()
    options = ["--columns", "@margin,@sizes", "-o", "-", "--format", "csv", "-q"]
    assert run(["table", str(path), *options]) == 0
    assert capsys.readouterr().out.splitlines()[0].split(",") == ["margin", *sizes]
    judged = report([record], ["@sizes"], 0, 0)
    assert {row.measure for row in judged.ranked} == set(sizes)
    figure = tmp_path / "figure.svg"
    options = ["--x", "recipe.hidden", "--y", "@margin", "-o", str(figure), "-q"]
    assert run(["plot", str(path), *options]) == 0
    assert figure.exists()


def test_list_prints_families_with_facts_and_takes_groups(capsys):
    assert run(["measure", "--list", "@margin"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("# Margins (@margin)\nmargin\n    γ = ")
    assert "    cost: cheap; needs margin, data; larger: more room; @margin @cheap" in printed
    assert "\nl2\n" not in printed


@pytest.mark.parametrize("name", ["sharpness", "@search", "hessian_top_eigenvalue"])
def test_measure_says_which_command_computes_a_measure_of_sharpness(name, saved, capsys):
    assert run(["measure", str(saved), "--only", name]) == 2
    assert "is computed by gentool sharpness" in capsys.readouterr().err
