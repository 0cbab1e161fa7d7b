"""What `import gentool` offers: names, laziness, calls in every order of imports, docstrings."""

import ast
import doctest
import inspect
import itertools
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import gentool

FUNCTIONS = [
    name
    for name in gentool.__all__
    if callable(getattr(gentool, name)) and not inspect.isclass(getattr(gentool, name))
]
HEAVY = ("torch", "torchvision", "numpy", "matplotlib", "pandas", "scipy", "sklearn", "safetensors")

# What anyone may have imported before; each binds packages as attributes of `gentool`.
IMPORTS = (
    "import gentool.sharpness.definitions",
    "import gentool.claims.trend as trend",
    "from gentool import sharpness, claims",
    "import gentool.records.recipe, gentool.claims",
)
CHECKS = """
import types
assert callable(gentool.sharpness) and callable(gentool.claims)
assert isinstance(gentool.records, types.ModuleType)
record = {"format": 1, "gentool": "", "command": {"name": "measure"}, "recipe": None}
record |= {"checkpoint": {"file": "a", "sha256": "a" * 64}, "outcome": None}
record |= {"measures": {}, "log10": {}, "layers": [], "margin": None, "notes": []}
assert gentool.claims([record], bootstrap=0)["networks"] == 1
assert gentool.claims.points and gentool.sharpness.definitions
"""
CALLS = """
import inspect
assert "images" in inspect.signature(gentool.sharpness).parameters
assert "lower bound" in gentool.sharpness.__doc__
from torch import nn, eye
module = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
record = gentool.sharpness(module, eye(2).reshape(2, 1, 1, 2), [0, 1])
assert record["measures"]["sharpness"] > 0
assert gentool.claims([record])["networks"] == 1
import gentool.sharpness.flatness, gentool.measures.measure
assert callable(gentool.sharpness) and callable(gentool.flatness) and callable(gentool.measure)
"""


def run(code):
    """Run code in a fresh interpreter; return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_gentool_imports_nothing_heavy():
    code = f"import gentool, sys; dir(gentool); print([m for m in {HEAVY} if m in sys.modules])"
    assert run(code).strip() == "[]"


@pytest.mark.parametrize("name", ["claims", "records", "Recipe", "GentoolError"])
def test_names_that_need_no_torch_do_not_import_it(name):
    code = f"import gentool, sys; gentool.{name}; print('torch' in sys.modules)"
    assert run(code).strip() == "False"


def test_plot_imports_no_torch():
    assert run("import gentool, sys; gentool.plot; print('torch' in sys.modules)") == "False\n"


def test_all_public_names_are_listed_for_completion_and_there():
    assert set(dir(gentool)) == set(gentool.__all__)
    for name in dir(gentool):
        assert getattr(gentool, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'sharpnes'"):
        _ = gentool.sharpnes


def test_editors_see_the_names_that_there_are():
    """The imports for type checkers name all public names, each from where it is."""
    tree = ast.parse(Path(gentool.__file__).read_text("utf-8"))
    [checked] = [node for node in tree.body if isinstance(node, ast.If)]
    for node in checked.body:
        for alias in node.names:
            public = getattr(gentool, alias.name)
            function = public._function() if hasattr(public, "_function") else public
            assert node.module == getattr(function, "__module__", "gentool")
    imported = {alias.name for node in checked.body for alias in node.names}
    assert imported == set(gentool.__all__) - {"__version__"}


@pytest.mark.parametrize(
    "order",
    [(), *((one,) for one in IMPORTS), *itertools.permutations(IMPORTS)],
    ids=lambda order: "".join(str(IMPORTS.index(line)) for line in order) or "none",
)
def test_functions_can_be_called_whatever_was_imported_before(order):
    lines = ["import gentool", *order, "import gentool.sharpness.definitions", CHECKS]
    run("\n".join(lines))


@pytest.mark.parametrize(
    "before", ["", "import gentool.sharpness.worst_case, gentool.claims.trend"]
)
def test_a_package_is_called_as_its_function(before):
    run("\n".join(["import gentool", before, CALLS]))


def test_a_package_is_pickled_by_name():
    """Worker processes can be handed `gentool.sharpness`, as any function."""
    assert pickle.loads(pickle.dumps(gentool.sharpness)) is gentool.sharpness


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_functions_have_types_and_a_docstring(name):
    function = getattr(gentool, name)
    signature = inspect.signature(function)
    assert signature.return_annotation is not inspect.Signature.empty
    for parameter in signature.parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty
    assert "Raise " in inspect.getdoc(function) or "errors" in inspect.getdoc(function)
    assert ">>> " in inspect.getdoc(function)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_examples_in_docstrings_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    public = getattr(gentool, name)
    function = public._function() if hasattr(public, "_function") else public
    [test] = doctest.DocTestFinder(recurse=False).find(function, name)
    results = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test)
    assert results.attempted > 1
    assert results.failed == 0


def test_the_package_says_that_it_is_typed():
    assert Path(gentool.__file__).with_name("py.typed").exists()
