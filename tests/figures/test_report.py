"""A report is one page with all that measure files hold, readable without a script."""

import json
import re
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from helpers.claim_records import labelled, network

from gentool.common.errors import UsageError
from gentool.figures.report.layers import network_parts
from gentool.figures.report.networks import network_table
from gentool.figures.report.page import ReportOptions, report_page
from gentool.records.conditions import parse_condition
from gentool.records.measure_file import merge

HOSTILE = "<script>alert('x')</script>\"&amp;\x1b[31m</svg><img src=//a.b>"
LAYER = {"name": "hidden1", "shape": [64, 784], "units": 64, "frobenius": 13.5, "spectral": 3.25}
VOID = {"meta", "br", "img", "input", "link", "hr"}


class Page(HTMLParser):
    """Hold the elements of a page as (tag, attributes), and its texts under their parent's tag."""

    def __init__(self, content):
        super().__init__()
        self.elements, self.texts, self._open = [], [], []
        self.feed(content.decode())

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self._open[-1] if self._open else "", " ".join(data.split())))

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self):
        return " ".join(text for tag, text in self.texts if tag not in ("script", "style"))


@pytest.fixture(scope="module")
def records():
    """Networks with true and random labels at three sizes; one has layers, one a hostile name."""
    made = labelled(true=[1.0, 2.0, 3.0], random=[2.0, 4.0, 6.0])
    for i, each in enumerate(made):
        each["outcome"]["test_error"] = 0.1 * i
        each["command"] |= {"epsilon": 0.05}
    made[0]["layers"] = [LAYER]
    made[1]["checkpoint"]["file"] = HOSTILE
    made[1]["notes"] = [HOSTILE]
    made[2]["recipe"]["data"] = HOSTILE
    made[2]["command"] |= {"data": HOSTILE}
    return [*made[:-1], beyond_the_floats(made[-1])]


def beyond_the_floats(record):
    """Return a record whose l2 is 1e400."""
    return record | {
        "measures": record["measures"] | {"l2": None},
        "log10": record["log10"] | {"l2": 400.0},
    }


@pytest.fixture(scope="module")
def page(records):
    return Page(report_page(records))


def test_the_page_has_the_table_figures_claims_ranking_layers_and_definitions(page):
    for words in (
        "Report on 6 networks",
        "larger with random than with true labels",  # a claim
        "Kendall's τ",
        "hidden1",
        "13.5",
        "γ⁻² ∏ᵢ ‖Wᵢ‖_F²",
        "Neyshabur",  # the source of a definition
        "ε 0.05",
    ):
        assert words in page.words
    assert len(page.of("svg")) >= 1


def test_a_figure_that_cannot_be_drawn_says_why(page):
    assert "none of these files holds margins" in page.words
    assert "drawn from a checkpoint" in page.words


def test_texts_of_files_are_shown_and_never_markup(page):
    """In a name, a note, a recipe, the options of a command, and the labels of figures."""
    assert len(page.of("script")) == 1
    assert page.of("img") == []
    assert page.words.count("<script>alert('x')</script>\"&amp;\\x1b[31m</svg><img src=//a.b>") >= 3


def test_nothing_of_the_page_is_elsewhere(page):
    """No element loads anything, links lead to parts of the page, and a policy forbids requests."""
    [policy] = [m["content"] for m in page.of("meta") if "http-equiv" in m]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe-inline'; script-src 'sha256-" in policy
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "image")
        assert "src" not in attributes
        assert attributes.get("href", "#").startswith("#")
    assert not re.search(r"url\((?!#)|@import", json.dumps(page.elements) + page.texts[0][1])


def test_ids_are_unique_and_all_references_lead_to_one(page):
    ids = Counter(a["id"] for _, a in page.elements if "id" in a)
    assert max(ids.values()) == 1
    references = [a["href"][1:] for _, a in page.elements if "href" in a]
    for name in ("aria-labelledby", "aria-describedby", "for"):
        references += [a[name] for _, a in page.elements if name in a]
    references += re.findall(r"url\(#([^)]+)\)", json.dumps(page.elements))
    assert set(references) <= set(ids)


def test_headings_are_in_order_and_heads_of_tables_have_a_scope(page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert levels.count(1) == 1
    assert all("scope" in attributes for attributes in page.of("th"))


def test_equal_records_give_equal_bytes(records):
    assert report_page(records) == report_page(json.loads(json.dumps(records)))


def test_a_number_has_its_rank_and_all_digits_and_one_beyond_the_floats_is_the_largest():
    rows = [network(seed=i, l2=value) for i, value in enumerate((0.5, 1.0, 0.25))]
    rows[1] = beyond_the_floats(rows[1])
    made = network_table(merge(rows), ["l2"])
    cells = [row.cells[0] for row in made.rows]
    assert [cell.text for cell in cells] == ["3.162", "1e400", "1.778"]
    assert [cell.rank for cell in cells] == [1, 2, 0]
    assert [cell.value for cell in cells] == [repr(10**0.5), "1e400", repr(10**0.25)]


def test_a_cell_without_a_value_has_no_rank():
    made = network_table(merge([network(seed=0, l2=1.0), network(seed=1)]), ["l2"])
    assert [cell.rank for cell in (row.cells[0] for row in made.rows)] == [0, None]


def test_conditions_choose_the_networks_of_all_sections(records):
    where = (parse_condition("recipe.labels=true"),)
    chosen = Page(report_page(records, ReportOptions(title="<Mine>", where=where)))
    assert "<Mine>" in chosen.words
    assert "3 networks" in chosen.words
    assert len([a for a in chosen.of("th") if "data-r" in a]) == 3
    assert len([a for a in chosen.of("details") if a.get("class") == "network"]) == 3
    with pytest.raises(UsageError, match="unknown key"):
        report_page(records, ReportOptions(columns=("nonsense",)))


def test_notes_are_said_once_for_a_reason_and_once_for_all_networks():
    rows = [network(seed=i, l2=1.0, spectral=1.0) for i in (0, 1)]
    for row in rows:
        row["notes"] = ["l2: no data", "spectral: no data", "batch: assumed"]
    rows[0]["notes"].append("of one alone")
    parts = network_parts(merge(rows))
    assert parts.notes == ["no l2, spectral: no data", "batch: assumed"]
    assert [part.notes for part in parts.networks] == [["of one alone"], []]


def test_a_record_without_training_or_measures_has_a_report():
    bare = network()
    bare["recipe"] = bare["outcome"] = None
    assert "1 network" in Page(report_page([bare])).words


def test_two_networks_of_one_file_name_are_told_apart():
    one, other = network(seed=0, l2=1.0), network(seed=1, l2=2.0)
    other["checkpoint"]["file"] = one["checkpoint"]["file"]
    one["checkpoint"]["sha256"], other["checkpoint"]["sha256"] = "a" * 64, "b" * 64
    names = [row.name for row in network_table(merge([one, other])).rows]
    assert [name[-10:] for name in names] == ["(aaaaaaaa)", "(bbbbbbbb)"]
