"""The law of the house: which room may import which, and which never import torch."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "gentool"
FLOORS = (
    {"cli"},
    {"figures"},
    {"sharpness", "training", "measures"},
    {"checkpoints"},
    {"networks", "data", "claims"},
    {"records", "numerics"},
    {"common"},
)
"""From the top down: a room imports rooms of lower floors only."""
WITHOUT_TORCH = {"common", "records", "claims"}


def imports_of(source, module=""):
    """The modules that a source file imports, at its top and inside functions."""
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported |= {f"{node.module}.{alias.name}" for alias in node.names}
    return imported


def modules():
    """Each module of the package, by its dotted name, with its source."""
    return {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path.read_text("utf-8")
        for path in PACKAGE.rglob("*.py")
    }


def room(name):
    """The room of a dotted name below gentool; None for the package's own files."""
    parts = name.split(".")
    return parts[1] if parts[0] == "gentool" and (PACKAGE / parts[1]).is_dir() else None


def broken(sources):
    """The imports that break the law, as `gentool.x.y imports gentool.z`."""
    floor = {name: i for i, rooms in enumerate(FLOORS) for name in rooms}
    faults = []
    for module, source in sources.items():
        for name in sorted(imports_of(source)):
            above, below = room(module), room(name)
            if above and below and above != below and floor[below] <= floor[above]:
                faults.append(f"{module} imports {name}")
            if above in WITHOUT_TORCH and name.split(".")[0] in ("torch", "torchvision"):
                faults.append(f"{module} imports {name}")
    return faults


def test_every_folder_is_a_room():
    """Twelve rooms, each with a floor."""
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders == set.union(*FLOORS)
    assert len(folders) == 12


def test_imports_go_down_only():
    """Also those inside functions, and those for type checkers."""
    assert broken(modules()) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("gentool.common.files", "from gentool.records.recipe import Recipe"),
        ("gentool.measures.norms", "def f():\n    from gentool.sharpness.box import box"),
        ("gentool.claims.trend", "import torch"),
        ("gentool.records.recipe", "def f():\n    from torch import Tensor"),
        ("gentool.training.loop", "import gentool.figures.chart"),
    ],
)
def test_the_law_is_broken_by(module, line):
    """An import of a room above or beside, or of torch where it must not be."""
    assert len(broken(modules() | {module: line})) == 1


def test_no_file_imports_itself_by_way_of_others():
    """The imports of files form no circle; a package's own face counts as a file."""
    sources = modules()
    graph = {}
    for module, source in sources.items():
        graph[module] = set()
        for name in imports_of(source):
            for target in (name, name.rpartition(".")[0]):
                found = [t for t in (target, f"{target}.__init__") if t in sources]
                if found and found[0] != module:
                    graph[module].add(found[0])
                    break
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
