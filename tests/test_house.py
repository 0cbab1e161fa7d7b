"""Hold the law of imports: which room may import which, and which rooms never import torch."""

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
"""The rooms from the top floor down: a room imports rooms on lower floors only."""
WITHOUT_TORCH = {"common", "records", "claims"}


def imports_of(source):
    """Return the names that a source file imports, at its top and inside functions."""
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source_module = "." * node.level + (node.module or "")
            imported |= {f"{source_module}.{alias.name}" for alias in node.names}
    return imported


def modules():
    """Return {dotted name: source} of all files of the package."""
    return {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path.read_text("utf-8")
        for path in PACKAGE.rglob("*.py")
    }


def room_of(name):
    """Return the room of a dotted name; None outside gentool, and for files at its root."""
    parts = name.split(".")
    return parts[1] if parts[0] == "gentool" and (PACKAGE / parts[1]).is_dir() else None


def forbidden_imports(sources):
    """Return the imports that break the law, as `gentool.x.y imports gentool.z`."""
    depth = {room: i for i, rooms in enumerate(FLOORS) for room in rooms}
    forbidden = []
    for module, source in sources.items():
        for name in sorted(imports_of(source)):
            room, imported = room_of(module), room_of(name)
            goes_up = room and imported and room != imported and depth[imported] <= depth[room]
            is_torch = name.split(".")[0] in ("torch", "torchvision")
            is_relative = name.startswith(".")  # hides the room that it comes from
            if goes_up or is_relative or (is_torch and room in WITHOUT_TORCH):
                forbidden.append(f"{module} imports {name}")
    return forbidden


def test_the_root_of_the_package_holds_its_public_face_and_data_files_alone():
    files = {path.name for path in PACKAGE.iterdir() if path.is_file()}
    assert files == {"__init__.py", "__main__.py", "measures.schema.json", "py.typed"}


def test_every_folder_is_one_of_the_twelve_rooms():
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders == set.union(*FLOORS)
    assert len(folders) == 12


def test_imports_go_down_only():
    """Including imports inside functions, and those for type checkers."""
    assert forbidden_imports(modules()) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("gentool.common.files", "from gentool.records.recipe import Recipe"),
        ("gentool.measures.norms", "def f():\n    from gentool.sharpness.box import box"),
        ("gentool.claims.trend", "import torch"),
        ("gentool.records.recipe", "def f():\n    from torch import Tensor"),
        ("gentool.training.loop", "import gentool.figures.chart"),
        ("gentool.records.recipe", "from ..claims import judge"),
    ],
)
def test_a_forbidden_import_is_caught(module, line):
    """An import of a room above or beside, of torch in a room without it, or a relative one."""
    assert len(forbidden_imports(modules() | {module: line})) == 1


def test_the_imports_of_files_form_no_circle():
    """A package's __init__ counts as a file."""
    sources = modules()
    graph = {}
    for module, source in sources.items():
        graph[module] = set()
        for name in imports_of(source):
            for target in (name, name.rpartition(".")[0]):
                files = [file for file in (target, f"{target}.__init__") if file in sources]
                if files and files[0] != module:
                    graph[module].add(files[0])
                    break
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
