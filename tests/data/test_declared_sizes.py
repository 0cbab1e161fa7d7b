"""Test data whose declared size is beyond memory: refused by name, before it is unpacked."""

import io
import resource
import struct
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest

from gentool.common import memory
from gentool.common.errors import GentoolError
from gentool.data.image_folder import read_folder
from gentool.data.npz import read_npz
from gentool.data.reading import AS_STORED


def bomb(path, shape, dtype="|u1"):
    """Write an archive whose images declare a shape, with a little content."""
    header = str({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(1000)
    labels = io.BytesIO()
    np.save(labels, np.arange(10) % 2)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_train.npy", content)
        archive.writestr("y_train.npy", labels.getvalue())
    return path


@pytest.mark.parametrize(
    ("shape", "dtype"), [((10**12, 28, 28), "|u1"), ((10, 10**6, 10**6), "<f8"), ((10**30,), "|u1")]
)
def test_an_archive_that_declares_more_than_memory_is_refused(tmp_path, shape, dtype):
    with pytest.raises(GentoolError, match=r"bomb\.npz: x_train .* of memory are free"):
        read_npz(bomb(tmp_path / "bomb.npz", shape, dtype), AS_STORED)


def test_an_archive_is_measured_against_the_memory_that_is_free(tmp_path, monkeypatch):
    """A megabyte of images is refused where half of one is free, and read where two are."""
    path = tmp_path / "images.npz"
    images = np.zeros((1024, 32, 32), np.uint8)
    np.savez(path, x_train=images, y_train=np.arange(1024) % 2)
    monkeypatch.setattr("gentool.data.npz.available_memory", lambda: 2**19)
    with pytest.raises(GentoolError, match=r"1\.0 MiB, and 512\.0 KiB of memory are free"):
        read_npz(path, AS_STORED)
    monkeypatch.setattr("gentool.data.npz.available_memory", lambda: 2**21)
    assert len(read_npz(path, AS_STORED).train_images) == 1024


def png(width, height):
    """Return the start of a PNG that declares a size."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    data = b"IDAT" + zlib.compress(bytes(1000))
    chunk += struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    return b"\x89PNG\r\n\x1a\n" + chunk


@pytest.mark.parametrize("size", [(12_000, 10_000), (2**31 - 1, 2**31 - 1)])
def test_an_image_that_declares_a_huge_size_is_refused_by_name(tmp_path, size, recwarn):
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "train" / name / "huge.png").write_bytes(png(*size))
    with pytest.raises(GentoolError, match=r"huge\.png"):
        read_folder(tmp_path, show_progress=False)
    assert not recwarn.list


def test_many_images_that_memory_cannot_hold_are_refused(tmp_path, monkeypatch):
    from PIL import Image

    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (64, 64)).save(tmp_path / "train" / name / f"{i}.png")
    monkeypatch.setattr("gentool.data.image_folder.available_memory", lambda: 5 * 64 * 64 * 3)
    with pytest.raises(GentoolError, match=r"6 images .* --resize"):
        read_folder(tmp_path, show_progress=False)


def test_free_memory_is_that_of_the_process_and_of_the_container(tmp_path):
    """The limit of ulimit -v counts; a container's caches are free."""
    assert 0 < memory.available_memory() < memory.UNLIMITED
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 200\n")
    assert memory._of_container(tmp_path) == 500
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._of_container(tmp_path) == memory.UNLIMITED
    script = (
        "import resource; from gentool.common.memory import available_memory as free;"
        "resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30)); print(free())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert 0 < int(done.stdout) < 2**30


def test_a_cpu_without_memory_is_told_as_that(tmp_path):
    """One line that names the options that help, where a limit of 4 GiB ends a wide network."""
    limit = 4 * 2**30
    rest = ["--data", "digits", "--subset", "50", "--threads", "1", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "gentool", "train", "--model", "mlp", "--hidden", "9000000", *rest],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert done.returncode == 1
    assert done.stderr.startswith("gentool: out of memory; train needs less with")
    assert done.stderr.count("\n") == 1
