"""The notebook examples/tour.ipynb: its cells run, and its stored outputs are theirs."""

import base64
import io
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

TOUR = Path(__file__).parents[2] / "examples" / "tour.ipynb"
SECONDS = 300  # for one cell, on a machine with other work to do


@pytest.fixture(scope="module")
def stored():
    return nbformat.read(TOUR, 4)


def kinds(cell):
    """Return the kinds of a cell's outputs, each stream once."""
    outputs = cell.get("outputs", [])
    found = (f"{output.output_type} {output.get('name', '')}".strip() for output in outputs)
    return list(dict.fromkeys(found))


def images(notebook):
    return [
        Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]


def test_the_notebook_is_stored_as_it_was_run(stored):
    """All cells in order, without errors and warnings, without a path of any machine."""
    nbformat.validate(stored)
    counts = [cell.execution_count for cell in stored.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    streams = [kind for cell in stored.cells for kind in kinds(cell)]
    assert "error" not in streams
    assert "stream stderr" not in streams
    assert "/tmp" not in TOUR.read_text("utf-8")
    assert TOUR.stat().st_size < 500_000


def test_stored_figures_are_not_empty(stored):
    found = images(stored)
    assert len(found) == 3
    for image in found:
        assert min(image.size) > 200
        assert np.asarray(image.convert("L")).std() > 10


@pytest.mark.slow
def test_the_cells_run_and_put_out_what_is_stored(stored, tmp_path):
    """Kinds of outputs, numbers of images and the words of streams; digits may differ."""
    fresh = nbformat.read(TOUR, 4)
    for cell in fresh.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(fresh, timeout=SECONDS, kernel_name="python3", resources=resources).execute()
    assert [kinds(cell) for cell in fresh.cells] == [kinds(cell) for cell in stored.cells]
    assert len(images(fresh)) == len(images(stored))
    assert list(tmp_path.iterdir()) == []
    for now, before in zip(fresh.cells, stored.cells, strict=True):
        for one, other in zip(now.get("outputs", []), before.get("outputs", []), strict=False):
            if one.output_type == "stream":
                assert one.text.split()[0] == other.text.split()[0]
