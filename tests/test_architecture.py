"""ARCHITECTURE.md, checked: layers, length of files, what `import graphmem` loads."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "graphmem"
FILES = sorted(PACKAGE.rglob("*.py"))

# From the bottom to the top: a module imports what stands above it in this list, never what
# stands below. Names of packages stand for all of their modules.
WORDS = ["errors", "types", "text", "failures", "read_only"]
CONTRACTS = ["protocols", "chat_wrapper", "prompts", "lenient", "config"]
KERNELS = [
    *("mentions", "linking", "graph", "facts", "buckets", "synonymy", "ppr", "paths", "seeds"),
    *("lexical", "fusion", "rerank"),
]
ADAPTERS = ["extraction", "embedding", "reranking", "chat"]
STAGES = [
    *(
        "chunking",
        "records",
        "corpus",
        "store_rows",
        "store_tables",
        "store",
        "columns",
        "fact_columns",
        "sentences",
        "durable",
        "snapshot",
    ),
    *(
        "workers",
        "vector_indexer",
        "fact_indexer",
        "sentence_indexer",
        "extracting",
        "indexer",
        "statistics",
        "fact_search",
        "fact_evidence",
        "linear_search",
        "trace",
        "name_search",
        "retriever",
        "rereading",
        "explain",
    ),
    *("reader", "iterative", "runs"),
]
ASSEMBLY = [
    *("language", "opening", "asking", "exporting", "memory", "demo", "render", "evaluation"),
    *("cli_options", "cli_eval", "render_llm", "cli_llm", "cli", "__main__"),
]
ORDER = WORDS + CONTRACTS + KERNELS + ADAPTERS + STAGES + ASSEMBLY
HEAVY = {"spacy", "faiss", "openai", "igraph", "networkx", "onnxruntime", "scipy"}


def room(file):
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(file):
    """Rooms that a file imports, wherever in it, but for type checkers alone."""
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
            if parts == ["graphmem"]:
                yield from (alias.name for alias in node.names)
            elif parts[0] == "graphmem":
                yield parts[1]
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            yield from (parts[1] for parts in names if parts[0] == "graphmem" and parts[1:])


def test_every_module_has_its_place():
    assert {room(file) for file in FILES} - {"__init__"} <= set(ORDER)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(PACKAGE).as_posix())
def test_imports_go_downward_only(file):
    here = room(file)
    if here == "__init__":
        return
    allowed = set(ORDER[: ORDER.index(here)]) | {here}
    if here in ADAPTERS:
        allowed = {*WORDS, *CONTRACTS, here}
        if here == "reranking":  # the same encoders, with another head
            allowed.add("embedding")
    elif here in STAGES:
        allowed -= set(ADAPTERS)  # they receive adapters as arguments
    assert set(imports(file)) <= allowed


def test_no_file_is_longer_than_400_lines():
    files = [*FILES, *(PACKAGE.parent / "pipelines").rglob("*.py")]
    lengths = {str(file): len(file.read_text("utf-8").splitlines()) for file in files}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


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
