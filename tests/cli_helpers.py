"""What the tests of the command line share: small corpora, and two ways to run a command."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from graphmem.cli.commands import main

ROOT = Path(__file__).parents[1]
FILMS = [
    {"id": "f1", "title": "Alien", "text": "Alien is a film by Ridley Scott.", "year": 1979},
    {"id": "f2", "title": "Ridley Scott", "text": "Ridley Scott was born in South Shields."},
    {"id": "f3", "title": "South Shields", "text": "South Shields lies in Tyne and Wear."},
    {"id": "f4", "title": "Solaris", "text": "Solaris is a novel by Stanisław Lem."},
]
QUESTION = "In which county was the director of Alien born?"


def write_lines(path, records):
    """JSON lines, compressed where the name ends in .gz; a string stands as it is."""
    lines = [r if isinstance(r, str) else json.dumps(r) for r in records]
    data = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def run(*arguments, code=0, stdin=None):
    """Run a command in this process; its result, after a look at the exit code."""
    result = CliRunner().invoke(main, [str(a) for a in arguments], input=stdin)
    assert result.exit_code == code, result.output
    if code:  # an error is a line or two for a person, never a traceback
        assert isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in result.output
    return result


def make_index(folder, records=FILMS, *options, name="films"):
    """An index of the records with the hashing embedder."""
    source = write_lines(folder / f"{name}.jsonl", records)
    index = folder / f"{name}.index"
    run("index", source, "--index", index, "--embedder", "hashing", *options)
    return index


def hits(index, question=QUESTION, *options, k=10):
    """Ids of the hits, best first."""
    found = json.loads(run("search", index, question, "-k", k, "--json", *options).stdout)
    return [hit["id"] for hit in found["hits"]]


def command(*arguments):
    """The command for a real process."""
    return [sys.executable, "-m", "graphmem", *map(str, arguments)]


def run_process(*arguments, **options):
    """Run a command in its own process."""
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=120, check=False, **options
    )
