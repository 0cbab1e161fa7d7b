"""The first bytes of a file tell its format; its name decides where they do not."""

import struct

import pytest

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
