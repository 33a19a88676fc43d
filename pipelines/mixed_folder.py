"""A folder as people have them: is every file of 200 mixed real ones found again, or named?

    python pipelines/mixed_folder.py --record

Gathers files of any ending out of the packages of the running Python that have a permissive
licence, at most some of each ending and always the same ones, adds some that are unfit (a truncated
PDF, random bytes, a zip file named .docx, ...), and indexes the folder through the command line.
Then every file must have a passage in the index or be named among what was left out, and lines of
every file of plain text must be found by their words, with preset bm25.

A JSON object goes to standard output; --record keeps it in pipelines/results/mixed_folder.json. The
exit code is 1 where something was lost without a word.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import random
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from graphmem import GraphMemory
from graphmem.base.layout import STORE
from graphmem.base.sqlite import connect_to_read
from graphmem.evaluation.runs.environment import environment
from graphmem.sources.formats import by_ending
from graphmem.storage.changes import file_of

RESULTS = Path(__file__).with_name("results") / "mixed_folder.json"
PERMISSIVE = re.compile(
    r"\b(?:MIT|BSD|Apache|ISC|PSF|Python Software Foundation|Zlib|Unlicense|CC0|HPND|Public Domain)"
    r"\b|\b0?BSD-",
    re.IGNORECASE,
)
_OTHER = re.compile(r"\b(?:[AL]?GPL|MPL|GNU|Mozilla|EUPL|CDDL|CC-BY|Proprietary)", re.IGNORECASE)
LARGEST = 100_000
"""Bytes of a file: the folder is to have many files, not large ones."""
MOST_DOCUMENTS, MOST_CODE, MOST_OTHERS = 12, 4, 1
"""Files of one ending: of documents and records, of source code, of what is not read."""
BUILT = (".pyc", ".so")
PLAIN = ("text", "markdown", "rst", "code", "yaml", "log")
LINES = 3
"""Lines of a file that are looked for."""
HITS = 10
LEAST_WORDS = 6

Candidate = tuple[str, Path]
"""Path in the folder that is made, and the file."""


def main() -> int:
    """Gather, index, compare, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=200, help="with the unfit ones [200]")
    parser.add_argument("--folder", type=Path, help="keep the files and the index here")
    parser.add_argument("--embedder", default="default")
    parser.add_argument("--record", action="store_true", help=f"keep the figures in {RESULTS}")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch)
        documents, index = folder / "documents", folder / "index"
        unfit = make_unfit(documents / "unfit")
        gather(documents, arguments.files - len(unfit))
        result = measured(documents, index, arguments.embedder)
    print(json.dumps(result, indent=1, ensure_ascii=False))
    if arguments.record:
        text = json.dumps(result, indent=1, ensure_ascii=False)
        RESULTS.write_text(text + "\n", encoding="utf-8")
    return int(bool(result["lost"] or result["lines_lost"]))


def measured(documents: Path, index: Path, embedder: str) -> dict[str, Any]:
    """Index the folder, and say what became of every file."""
    command = ["index", str(documents), "--index", str(index), "--embedder", embedder, "--json"]
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "graphmem", *command], stdout=subprocess.PIPE, text=True, check=False
    )
    seconds = time.perf_counter() - start
    if done.returncode not in (0, 3):
        raise SystemExit(f"graphmem index ended with {done.returncode}")
    report = json.loads(done.stdout)
    files = sorted(file for file in documents.rglob("*") if file.is_file())
    passages = passages_of(index)
    named = left_out(report, documents)
    found, lost = look_up(index, {file: passages[file] for file in files if file in passages})
    relative = {file: file.relative_to(documents).as_posix() for file in files}
    return {
        "machine": machine(),
        "files": len(files),
        "bytes": sum(file.stat().st_size for file in files),
        "indexed": sum(file in passages for file in files),
        "passages": report["read"]["passages"],
        "seconds": round(seconds, 1),
        "exit_code": done.returncode,
        "kinds": kinds(files, passages),
        "not_in_utf8": dict(sorted(Counter(report["encodings"].values()).items())),
        "left_out": named,
        "lost": [relative[f] for f in files if f not in passages and relative[f] not in named],
        "lines_sought": found + len(lost),
        "lines_found": found,
        "lines_lost": lost,
    }


def machine() -> str:
    """The machine, for people."""
    here = environment()
    return f"{here.cores_available} cores ({here.cpu}), Python {platform.python_version()}"


def gather(folder: Path, count: int) -> None:
    """Copy so many files of installed packages to where they stand in theirs."""
    for name, file in chosen(candidates(), count):
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)


def candidates() -> Iterable[Candidate]:
    """Files of packages of a permissive licence and of Python's own library, sorted."""
    found: dict[str, Path] = {}
    for package in distributions():
        if is_permissive(package):
            for item in package.files or ():
                if ".." not in item.parts:
                    found[item.as_posix()] = Path(str(item.locate()))
    library = Path(sysconfig.get_path("stdlib"))
    for path in library.rglob("*"):
        if "site-packages" not in path.parts:
            found[f"python/{path.relative_to(library).as_posix()}"] = path
    for name, file in sorted(found.items()):
        hidden = any(part.startswith((".", "__pycache__")) for part in name.split("/"))
        if not hidden and file.is_file() and 0 < file.stat().st_size <= LARGEST:
            yield name, file


def is_permissive(package: Distribution) -> bool:
    """Whether its licence allows nearly everything, as far as its metadata say."""
    names = ("License-Expression", "License", "Classifier")
    said = [item for name in names for item in package.metadata.get_all(name) or ()]
    licence = " ".join(str(item)[:100] for item in said)
    return bool(PERMISSIVE.search(licence)) and not _OTHER.search(licence)


def chosen(found: Iterable[Candidate], count: int) -> list[Candidate]:
    """So many of the files: documents first, each ending and each package in its turn.

    >>> files = [(name, Path(name)) for name in ("a/1.md", "a/2.md", "b/1.md", "b/x.bin", "b/2.py")]
    >>> [name for name, _ in chosen(files, 4)]
    ['a/1.md', 'b/2.py', 'b/1.md', 'a/2.md']
    """
    seen: Counter[tuple[str, str]] = Counter()
    by_kind: dict[str, list[tuple[int, Candidate]]] = defaultdict(list)
    for candidate in found:
        kind = ending(candidate[0])
        package = (kind, candidate[0].split("/")[0])
        if kind not in BUILT:
            by_kind[kind].append((seen[package], candidate))
            seen[package] += 1
    turns: list[tuple[bool, int, str, Candidate]] = []
    for kind, items in by_kind.items():
        told = by_ending(f"x{kind}")
        most = MOST_DOCUMENTS if told or not kind else MOST_OTHERS
        most = MOST_CODE if told and told.name == "code" else most
        items.sort()
        turns += [
            (most == MOST_OTHERS, turn, kind, item) for turn, (_, item) in enumerate(items[:most])
        ]
    return [candidate for *_, candidate in sorted(turns)[:count]]


def ending(name: str) -> str:
    """The ending of a file's name in small letters, "" where it has none."""
    return Path(name).suffix.lower()


def make_unfit(folder: Path) -> list[Path]:
    """Files that cannot be read: each must be named, and stop no other."""
    folder.mkdir(parents=True)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("readme.txt", "This is a zip file and no document of Word.")
    noise = random.Random(12)
    contents = {
        "truncated.pdf": b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n2 0 ob",
        "random.bin": noise.randbytes(4096),
        "random.txt": noise.randbytes(4096),
        "archive.docx": archive.getvalue(),
        "truncated.docx": archive.getvalue()[:60],
        "half.jsonl": b'{"id": "1", "text": "whole"}\n{"id": "2", "te',
        "settings.json": b'{"name": "no list of records"}\n',
        "empty.txt": b"",
        "blank.md": b"\n \n\t\n",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


def passages_of(index: Path) -> dict[Path, list[str]]:
    """Ids of the passages of every file that has some."""
    found: dict[Path, list[str]] = defaultdict(list)
    with closing(connect_to_read(index / STORE)) as store:
        for name, source in store.execute("SELECT id, source FROM passages ORDER BY id"):
            found[Path(file_of(source))].append(name)
    return found


def left_out(report: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """The reason for each file or record that is named as left out, by relative path."""
    named: dict[str, str] = {}
    lists = ("left_out", "bad_records", "other_files", "empty_files")
    for item in (item for name in lists for item in report[name]):
        path = Path(item["path"]).relative_to(folder).as_posix()
        named.setdefault(path, item["reason"] + (f"; {item['hint']}" if item["hint"] else ""))
    return named


def kinds(files: Sequence[Path], passages: Mapping[Path, Sequence[str]]) -> dict[str, list[int]]:
    """Files of each ending, how many of them are indexed, and their passages."""
    found: dict[str, list[int]] = {}
    for file in files:
        counts = found.setdefault(ending(file.name) or "none", [0, 0, 0])
        for at, more in enumerate((1, file in passages, len(passages.get(file, ())))):
            counts[at] += more
    return dict(sorted(found.items(), key=lambda item: (-item[1][0], item[0])))


def look_up(index: Path, passages: Mapping[Path, Sequence[str]]) -> tuple[int, list[str]]:
    """How many lines of plain files are found by their words, and those that are not."""
    memory = GraphMemory.open(index)
    found, lost = 0, []
    for file, names in passages.items():
        for line in lines_of(file):
            hits = memory.search(line, k=HITS, preset="bm25").hits
            ids = {name for hit in hits for name in (hit.passage.id, *hit.copies)}
            if ids & set(names) or any(words(line) in words(hit.passage.text) for hit in hits):
                found += 1
            else:
                lost.append(f"{file.name}: {line}")
    return found, lost


def lines_of(file: Path) -> list[str]:
    """Some lines of words of a file of plain text, from all over it."""
    told = by_ending(file.name)
    if told is not None and told.name not in PLAIN:
        return []
    try:
        text = file.read_text("utf-8")
    except UnicodeDecodeError:
        return []
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if len(set(re.findall(r"[^\W\d_]{3,}", line))) >= LEAST_WORDS]
    return lines[:: max(1, -(-len(lines) // LINES))]


def words(text: str) -> str:
    r"""The words of a text alone, with single blanks.

    >>> words("# Ada,\n# Bo")
    ' Ada Bo '
    """
    return " ".join(["", *re.findall(r"\w+", text), ""])


if __name__ == "__main__":
    sys.exit(main())
