"""Tables in the terminal: heads wrap between words, numbers are never cut, names are safe."""

import io

import pytest

from gentool.common.tables import print_table
from gentool.common.text import printable


def printed(monkeypatch, width, *arguments, **options):
    monkeypatch.setenv("COLUMNS", str(width))
    print_table(*arguments, file=(file := io.StringIO()), **options)
    return file.getvalue()


def test_heads_are_wrapped_between_words_and_numbers_aligned(monkeypatch):
    columns = ["network", "training error"]
    text = printed(monkeypatch, 80, "a title", columns, [["a", "0.5"], ["b", "0.25"]])
    assert text.splitlines() == [
        "a title",
        "         training",
        "network     error",
        "─────────────────",
        "a             0.5",
        "b            0.25",
    ]


def test_a_table_that_is_too_wide_is_cut_into_parts(monkeypatch):
    columns = ["network", *(f"m{i}" for i in range(6))]
    rows = [[name, *("1234567" for _ in range(6))] for name in ("a", "b")]
    text = printed(monkeypatch, 30, "", columns, rows)
    assert max(map(len, text.splitlines())) <= 30
    assert text.count("1234567") == 12
    assert [line for line in text.splitlines() if line.startswith("network")] == [
        "network       m0       m1",
        "network       m2       m3",
        "network       m4       m5",
    ]


def test_long_names_are_wrapped_and_keep_all_their_letters(monkeypatch):
    name = "vgg-width1.0-cifar10-random-50000-seed0.safetensors"
    text = printed(monkeypatch, 40, "", ["network", "gap"], [[name, "0.123"]])
    assert max(map(len, text.splitlines())) <= 40
    lines = [line[:33].split()[0] for line in text.splitlines()[2:]]
    assert "".join(lines) == name
    assert all(line[-1] in "-_." for line in lines[:-1])


def test_a_last_column_of_text_is_wrapped_to_the_rest_of_the_line(monkeypatch):
    rows = [["l2", "1.5", "a long explanation of what this measure is about"]]
    text = printed(monkeypatch, 40, "", ["measure", "value", "what"], rows, ends_in_text=True)
    assert max(map(len, text.splitlines())) <= 40
    assert text.splitlines()[2].startswith("l2         1.5  a long explanation")


def test_wide_letters_take_two_columns(monkeypatch):
    text = printed(monkeypatch, 80, "", ["network", "gap"], [["網絡", "1"], ["ab", "2"]])
    assert text.splitlines()[2:] == ["網絡       1", "ab         2"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ä 網", "plain ä 網"),
        ("\x1b[31m", r"\x1b[31m"),
        ("a\rb\n", r"a\rb\n"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("a\u00a0b", r"a\xa0b"),
        ("\udcff", r"\xff"),
    ],
)
def test_characters_that_could_deceive_are_escaped(text, shown):
    assert printable(text) == shown
