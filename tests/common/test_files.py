"""Output files are written whole or not at all."""

import pytest

from gentool.common.errors import GentoolError
from gentool.common.files import Existing, check_output, write_whole


def test_a_file_is_written_whole_and_alone(tmp_path):
    """It has the content and the permissions of the umask; no other file is in the folder."""
    path = tmp_path / "a.json"
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]
    (plain := tmp_path / "plain").touch()
    assert path.stat().st_mode == plain.stat().st_mode


def test_a_failed_write_leaves_the_old_file_and_no_temporary_one(tmp_path, monkeypatch):
    """The disk is full at the last moment: the old content stays, the temporary file goes."""
    path = tmp_path / "a.json"
    path.write_bytes(b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(GentoolError, match=r"cannot write .*a\.json: No space left on device"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_output_that_exists_is_an_error_without_force_or_skip(tmp_path):
    """--force writes it again, --skip-existing does not; without both the error names both."""
    path = tmp_path / "a.json"
    assert check_output(path, Existing.ERROR)
    path.touch()
    assert check_output(path, Existing.FORCE)
    assert not check_output(path, Existing.SKIP)
    with pytest.raises(GentoolError, match=r"--force .* --skip-existing"):
        check_output(path, Existing.ERROR)


def test_an_output_in_a_missing_folder_is_refused_before_any_work(tmp_path):
    """The error names the missing folder, or the folder that is in place of the file."""
    with pytest.raises(GentoolError, match=r"missing does not exist"):
        check_output(tmp_path / "missing" / "a.json", Existing.ERROR)
    with pytest.raises(GentoolError, match="is a folder"):
        check_output(tmp_path, Existing.FORCE)
