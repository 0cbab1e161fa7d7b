"""Memory: processes that share a GPU get equal parts of it."""

import pytest
import torch

from gentool.numerics.memory import share_memory


@pytest.mark.parametrize(("name", "index"), [("cuda:1", 1), ("cuda", None)])
def test_processes_that_share_a_gpu_get_equal_parts_of_nine_tenths(monkeypatch, name, index):
    """Without an index it is the current GPU, which PyTorch calls None."""
    parts = []
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda *part: parts.append(part)
    )
    share_memory(torch.device(name), 4)
    assert parts == [(pytest.approx(0.225), index)]


def test_processes_on_a_cpu_have_no_limit(monkeypatch):
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", None)
    share_memory(torch.device("cpu"), 4)
