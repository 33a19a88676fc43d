"""What is shipped: the wheel and the source distribution hold the right files and no others."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = [
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "graphmem").rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=300,
    )
    return folder


def test_the_wheel_holds_the_package_the_sample_and_the_licence(built):
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert set(OURS) - names == set()
    assert {"graphmem/sample/corpus.jsonl", "graphmem/sample/questions.jsonl"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    others = {name.split("/")[0] for name in names} - {"graphmem"}
    assert [name for name in others if not name.endswith(".dist-info")] == []


def test_the_source_distribution_holds_what_a_maintainer_needs(built):
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.split("/", 1)[1] for name in file.getnames() if "/" in name}
    needed = {"LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "pyproject.toml"}
    needed |= {"tests/conftest.py", "pipelines/train_rerank.py", "docs/design.md", ".ci/run"}
    assert (needed | set(OURS)) - names == set()
    kinds = (".sqlite", ".npy", ".safetensors", ".onnx", ".pyc")
    assert [name for name in names if name.endswith(kinds) or ".venv" in name] == []
