"""The first bytes of a file tell its format; its name decides where they do not."""

import struct

import pytest

from gentool.cli.main import run
from gentool.records.file_kind import file_kind

HEADER = b'{"a":{"dtype":"F32"}}'


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("net.safetensors", struct.pack("<Q", len(HEADER)) + HEADER, "safetensors"),
        ("net.pt", struct.pack("<Q", len(HEADER)) + HEADER, "safetensors"),
        ("net.safetensors", b"PK\0\0\0\0\0\0" + HEADER, "safetensors"),  # 19,280 bytes of header
        ("net", b"PK\x03\x04\0\0\0\0\x08\0", "pytorch"),
        ("net", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j", "pytorch"),
        ("net.pth", b"\x80\x04\x95", "pytorch"),
        ("net.measures.json", b'\n {"format": 1}', "json"),
        ("net.txt", b"weights", None),
        ("net.pt", b"", "pytorch"),
    ],
)
def test_the_kind_of_a_file(tmp_path, name, content, kind):
    path = tmp_path / name
    path.write_bytes(content)
    assert file_kind(path) == kind


def test_a_folder_and_a_missing_file_have_no_kind(tmp_path):
    """Whatever their names: the function that reads them says what is wrong."""
    (tmp_path / "folder.pt").mkdir()
    assert file_kind(tmp_path / "folder.pt") is None
    assert file_kind(tmp_path / "missing.pt") is None


@pytest.fixture(scope="module")
def own_files(tmp_path_factory):
    """One file of each kind that gentool writes, by the words for it."""
    folder = tmp_path_factory.mktemp("own")
    net = str(folder / "net.safetensors")
    train = ["train", "--model", "mlp", "--data", "digits", "--hidden", "4", "--subset", "20"]
    assert run([*train, "--epochs", "1", "-q", "-o", net]) == 0
    assert run(["measure", net, "--only", "l2", "-q"]) == 0
    worst = [
        "--save-perturbation",
        str(folder / "w.safetensors"),
        "--restarts",
        "1",
        "--steps",
        "1",
    ]
    assert run(["sharpness", net, *worst, "-q"]) == 0
    assert run(["inspect", net, "-q", "-o", str(folder / "content.json")]) == 0
    layers = ["--write-layers", "-o", str(folder / "layers.json")]
    assert run(["inspect", net, "-q", *layers]) == 0
    claims = ["claims", str(folder / "net.measures.json"), "-q", "-o", str(folder / "claims.json")]
    assert run(claims) == 0
    return {
        "a checkpoint": folder / "net.safetensors",
        "a measure file": folder / "net.measures.json",
        "a witness": folder / "w.witness",
        "the state of a training run": folder / "net.safetensors.last-state",
        "a list of layers": folder / "layers.json",
        "the content of a checkpoint": folder / "content.json",
        "a file of gentool claims": folder / "claims.json",
    }


@pytest.mark.parametrize("command", ["measure", "sharpness", "inspect", "verify"])
def test_a_file_of_another_kind_is_named_where_a_checkpoint_is_read(command, own_files, capsys):
    """And which command takes it, in one line."""
    for words, path in own_files.items():
        if words != "a checkpoint":
            witness = [str(own_files["a witness"])] if command == "verify" else []
            assert run([command, str(path), *witness]) == 1
            error = capsys.readouterr().err
            assert f"{path} is {words}" in error
            assert "; " in error
            assert error.count("\n") == 1


@pytest.mark.parametrize("words", ["a checkpoint", "a witness", "the state of a training run"])
def test_a_file_of_another_kind_is_named_where_measures_are_read(words, own_files, capsys):
    for command in ("claims", "plot", "table"):
        assert run([command, str(own_files[words])]) in (1, 2)
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1


def test_a_file_of_another_kind_is_named_where_a_witness_is_read(own_files, capsys):
    for words, path in own_files.items():
        if words != "a witness":
            assert run(["verify", str(own_files["a checkpoint"]), str(path)]) == 1
            assert f"{path} is {words}" in capsys.readouterr().err
