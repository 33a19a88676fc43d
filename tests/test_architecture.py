"""ARCHITECTURE.md, checked: layers, and what `import graphmem` loads."""

import ast
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import graphmem

PACKAGE = Path(__file__).parents[1] / "graphmem"
FILES = sorted(PACKAGE.rglob("*.py"))

# From the bottom to the top: a wing imports itself, what stands in rows above its own, and no
# wing beside it in its row.
LAYERS = [
    ["errors"],
    ["types"],
    ["base", "protocols"],
    ["config"],
    ["vectors", "sources", "llm", "embedding"],
    ["graph", "extraction", "reranking"],
    ["storage"],
    ["indexing", "searching"],
    ["explaining", "answering", "model_specs"],
    ["memory"],
    ["rendering", "integrations"],
    ["evaluation"],
    ["cli"],
    ["__main__"],
]
# The same within a wing that has wings of its own.
EVALUATION = [["datasets"], ["runs"], ["scores"], ["reports"], ["experiment"]]
HEAVY = {"spacy", "faiss", "openai", "igraph", "networkx", "onnxruntime", "scipy"}


def imports(file):
    """Modules of ours that a file imports, wherever in it, but for type checkers alone."""
    tree = ast.parse(file.read_text("utf-8"))
    typing = [
        n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n.test)
    ]
    skipped = {id(inner) for block in typing for part in block.body for inner in ast.walk(part)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            assert not node.level, f"{file}: relative import"
            parts = node.module.split(".")
            if parts[0] == "graphmem":
                yield from ([*parts[1:], alias.name] for alias in node.names)
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            yield from (parts[1:] for parts in names if parts[0] == "graphmem" and parts[1:])


def misplaced(files, root, layers, depth):
    """Imports that do not go downward, as pairs of a file and what it imports."""
    level = {wing: row for row, wings in enumerate(layers) for wing in wings}
    for file in files:
        here = file.relative_to(root).parts[0].removesuffix(".py")
        for parts in imports(file):
            there = parts[depth] if len(parts) > depth else ""
            if there in level and there != here and level[there] >= level[here]:
                yield str(file.relative_to(PACKAGE)), ".".join(parts)


def test_every_module_has_its_place():
    wings = {file.relative_to(PACKAGE).parts[0].removesuffix(".py") for file in FILES}
    assert wings - {"__init__"} == {wing for row in LAYERS for wing in row}
    assert all((file.parent / "__init__.py").exists() for file in FILES), (
        "a wing without __init__.py"
    )


def test_imports_go_downward_only():
    inside = [file for file in FILES if file != PACKAGE / "__init__.py"]
    assert list(misplaced(inside, PACKAGE, LAYERS, 0)) == []


def test_imports_within_evaluation_go_downward_only():
    root = PACKAGE / "evaluation"
    inside = [file for file in sorted(root.rglob("*.py")) if file != root / "__init__.py"]
    inner = [
        (file, parts)
        for file, parts in misplaced(inside, root, EVALUATION, 1)
        if parts.startswith("evaluation.")
    ]
    assert inner == []


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import graphmem; graphmem.RetrievalConfig()", HEAVY | {"numpy", "bm25s", "click"}),
        ("from graphmem import GraphMemory", HEAVY - {"scipy"}),
        ("import graphmem.cli", HEAVY),
    ],
)
def test_importing_loads_nothing_heavy(statement, heavy):
    code = f"import sys; {statement}; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    loaded = {name.split(".")[0] for name in result.stdout.split()}
    assert "graphmem" in loaded
    assert loaded & heavy == set()


def test_all_public_names_are_there_when_they_are_asked_for():
    for name in graphmem.__all__:
        assert getattr(graphmem, name).__name__ == name
    assert graphmem.__version__ == version("graphmem")
    with pytest.raises(AttributeError, match="no attribute 'GraphMemories'"):
        _ = graphmem.GraphMemories
