"""Holds the import direction: a room imports only from rows above its own, as docs/architecture.md draws it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "convscope"
ROWS = [
    {"errors"},
    {"registry"},
    {"config", "preprocess", "pictures", "tta"},
    {"numpy_nn", "layers", "data", "schedules"},
    {"models", "convert", "explain"},
    {"runs"},
    {"training", "evaluate", "predict", "proof"},
    {"planted"},
    {"train", "verify", "views", "doctor", "export", "audit", "service"},
    {"smoke"},
    {"cli"},
    {"__init__", "__main__"},
]
ROW = {room: number for number, rooms in enumerate(ROWS) for room in rooms}
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function; not those for the type checker alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the whole name"
            module = node.module or ""
            # `from convscope import numpy_nn` imports the room, not the package
            names = {alias.name for alias in node.names if not alias.name.startswith("__")}
            found |= {f"{module}.{name}" for name in names} if module == "convscope" else {module}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_from_rows_above(path: Path) -> None:
    room = path.relative_to(PACKAGE).with_suffix("").parts[0]
    for module in imports(path):
        if module.split(".")[0] == "convscope" and (other := room_of(module)) != room:
            assert ROW[other] < ROW[room], f"{path.name} (row {ROW[room]}) imports {module} (row {ROW[other]})"


def test_every_room_has_a_row() -> None:
    rooms = {p.relative_to(PACKAGE).with_suffix("").parts[0] for p in FILES}
    assert rooms == set(ROW)


@pytest.mark.parametrize("path", sorted((PACKAGE / "numpy_nn").glob("*.py")), ids=lambda p: p.name)
def test_numpy_nn_needs_numpy_only(path: Path) -> None:
    if path.name == "__main__.py":  # the demonstration compares with PyTorch where that is installed
        return
    outside = {m.split(".")[0] for m in imports(path)} - set(sys.stdlib_module_names)
    assert outside <= {"numpy", "convscope"} | ({"threadpoolctl"} if path.name == "workers.py" else set())


def loaded_by(statement: str) -> set[str]:
    """Top-level packages in memory after a fresh interpreter ran `statement`."""
    script = f"import sys; {statement}; print(*{{m.split('.')[0] for m in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "statement",
    [
        "import convscope",
        "from convscope.cli import main; main(['--help'])",
        "from convscope.cli import main; main(['train', '--help'])",
        "import convscope.numpy_nn",
        "import convscope.data; convscope.data.load('digits')",
    ],
)
def test_torch_is_loaded_only_where_it_is_used(statement: str) -> None:
    assert "torch" not in loaded_by(statement)


def test_prediction_needs_neither_training_nor_loaders() -> None:
    script = "import sys, convscope.predict; print(*(m for m in sys.modules if m.startswith('convscope')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    rooms = {room_of(module) for module in done.stdout.split()}
    assert {"runs", "predict"} <= rooms
    assert not rooms & {"training", "train", "data", "evaluate"}


def test_explain_loads_no_plotting() -> None:
    assert not loaded_by("import convscope.explain") & {"matplotlib", "sklearn", "pydantic", "typer"}
