"""`gentool.records.frame` takes records in memory beside files, and joins those of one network."""

import json

import pytest
import torch
from torch import nn

import gentool

pytest.importorskip("pandas")


def test_records_in_memory_are_rows_as_those_of_files_are(tmp_path):
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    images, labels = torch.randn(10, 1, 1, 4), torch.arange(10) % 3
    about = {"recipe": {"labels": "random", "seed": 2}, "name": "mine"}
    record = gentool.measure(module, images=images, labels=labels, only="l2", **about)
    searched = gentool.sharpness(module, images, labels, restarts=1, steps=1, **about)
    columns = "checkpoint.file,recipe.labels,recipe.seed,recipe.subset,l2,sharpness"
    table = gentool.records.frame([record, searched], columns)
    [row] = table.to_dict("records")
    assert row["sharpness"] == searched["measures"]["sharpness"]
    assert (row["checkpoint.file"], row["recipe.labels"]) == ("mine", "random")
    assert (row["recipe.seed"], row["recipe.subset"]) == (2, 10)
    for name, part in (("a", record), ("b", searched)):
        (tmp_path / f"{name}.json").write_text(json.dumps(part))
    assert gentool.records.frame(tmp_path, columns).equals(table)
    assert gentool.records.frame([record, str(tmp_path / "b.json")], columns).equals(table)
