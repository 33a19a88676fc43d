"""Where an experiment ran: versions, machine, and the code itself."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = (
    "numpy",
    "scipy",
    "onnxruntime",
    "spacy",
    "bm25s",
    "ir_measures",
    "pytrec_eval-terrier",
)
_ROOT = Path(__file__).resolve().parents[2]
_SHOWS = ("cli", "rendering", "explaining", "integrations")
_QUERIES = ("searching", "answering", "evaluation/runs/trec.py")
_MEASURED = ("indexes", "iterating", "running", "timing", "trec")


def environment() -> dict[str, Any]:
    """Versions and machine, JSON values."""
    packages = {"graphmem": _version("graphmem") or "from source"}
    packages |= {name: found for name in _PACKAGES if (found := _version(name))}
    return {
        "python": sys.version.split()[0],
        "packages": packages,
        "git_commit": git_commit(),
        "code": code_hash(),
        "system": platform.platform(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "cores_available": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "python_hash_seed": os.environ.get("PYTHONHASHSEED", "random"),
    }


def git_commit() -> str:
    """The commit that the package's own code is of, with "+changes"; "" outside a repository."""
    commit = _git("rev-parse", "HEAD")
    if not commit or _git("ls-files", "--error-unmatch", "graphmem/__init__.py") == "":
        return ""
    return commit + ("+changes" if _git("status", "--porcelain", "--", "graphmem") else "")


@cache
def code_hash() -> str:
    """Hash of all code that decides a ranking: a finished run of other code is not kept."""
    return _hash(_modules(without=_SHOWS))


@cache
def index_code_hash() -> str:
    """Hash of all code that decides an index."""
    return _hash(_modules(without=(*_SHOWS, *_QUERIES)))


def _modules(without: tuple[str, ...]) -> Iterable[Path]:
    measured = {f"evaluation/runs/{name}.py" for name in _MEASURED}
    for file in sorted(_ROOT.rglob("*")):
        name = file.relative_to(_ROOT).as_posix()
        if file.suffix not in (".py", ".json") or name.startswith("sample/"):
            continue
        if name.startswith(without) or (name.startswith("evaluation/") and name not in measured):
            continue
        yield file


def _hash(files: Iterable[Path]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for file in files:
        digest.update(file.relative_to(_ROOT).as_posix().encode() + b"\0" + file.read_bytes())
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
