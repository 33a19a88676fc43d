"""An option that would change nothing is refused; the table holds every option of every command."""

import json

import click
import pytest
from cli_helpers import FILMS, make_index, run, write_lines

from graphmem.cli.commands import main

_INDEXING = {
    "--model": ("--model", "fake"),
    "--budget": ("--budget", "500k"),
    "--price": ("--price", "1,2"),
    "--concurrency": ("--concurrency", "2"),
    "--pack": ("--pack", "2"),
    "--requests-per-minute": ("--requests-per-minute", "5"),
    "--max-failures": ("--max-failures", "0.2"),
    "--spacy-model": ("--extractor", "import:{openie}", "--spacy-model", "en_core_web_sm"),
    "--overlap": ("--extractor", "import:{openie}", "--overlap", "3"),
}
_RERANKER = {"--rerank-depth": ("--rerank-depth", "3")}
_TIME = {"--time-field": ("--time-field", "day")}
_RESCORED = {
    "--preset": ("--preset", "dense"),
    "--baseline": ("--baseline", "dense"),
    "--out": ("--out", "{folder}/out"),
    "--indexes": ("--indexes", "{folder}/indexes"),
    "-k": ("-k", "5"),
    "--limit": ("--limit", "3"),
    "--seed": ("--seed", "3"),
    "--embedder": ("--embedder", "hashing"),
    "--spacy-model": ("--spacy-model", "en_core_web_sm"),
    "--reranker": ("--reranker", "words"),
    "--rerank-depth": ("--rerank-depth", "3"),
    "--skip-unjudged": ("--skip-unjudged",),
}
REFUSED = {
    "index": (("index", "{source}", "--index", "{folder}/new"), _INDEXING),
    "add": (("add", "{source}", "--index", "{index}"), _INDEXING),
    "search": (
        ("search", "{index}", "Who?"),
        {
            "--model": ("--model", "fake"),
            "--fact-filter": ("--fact-filter", "margin"),
            "--run": ("--run", "{folder}/out.trec"),
            **_RERANKER,
            **_TIME,
        },
    ),
    "ask": (
        ("ask", "{index}", "Who?"),
        {"--fact-filter": ("--fact-filter", "model"), **_RERANKER, **_TIME},
    ),
    "explain": (("explain", "{index}", "Who?"), {**_RERANKER, **_TIME}),
    "delete": (("delete", "{index}", "--id", "1"), _TIME),
    "verify": (("verify", "{index}"), {"--wait": ("--wait", "3")}),
    "namespaces": (("namespaces", "{index}"), {"--wait": ("--wait", "3")}),
    "eval": (("eval", "--rescore", "{folder}"), _RESCORED),
    "data convert": (
        ("data", "convert", "{folder}", "{folder}/converted"),
        {
            "--corpus": ("--corpus", "{source}"),
            "--split": ("--split", "dev"),
            "--granularity": ("--granularity", "session"),
        },
    ),
}
"""Command -> a call, and what makes each option useless there."""

_READING = (
    "--strict --include --exclude --gitignore --encoding --text-field --title-field --id-field "
    "--delimiter --max-bytes"
)
# The options of a rehearsal (--dry-run) are those of the run: nothing is refused beside it.
_WRITING = (
    "--index --namespace --embedder --extractor --passage-tokens --sentences --sparse --workers "
    "--wait --dry-run --json " + _READING
)
_CHOOSING = "--namespace --where --since --as-of"
COUNT_ALWAYS = {
    "index": f"{_WRITING} --keep-gone",
    "add": _WRITING,
    "search": f"-k --queries --preset --no-rerank {_CHOOSING} --iterate --residual --clues "
    "--reranker --json",
    "ask": f"-k --preset {_CHOOSING} --iterate --residual --clues --model --reranker --json",
    "explain": f"-k --preset --no-rerank {_CHOOSING} --reranker --json",
    "stats": "--namespace --json",
    "models": "",
    "models fetch": "--embedder --sparse",
    "demo": "--index",
    "delete": f"--id --document {_CHOOSING} --wait --json",
    "compact": "--namespace --wait --json",
    "backup": "--namespace --json",
    "restore": "--index --namespace --json",
    "verify": "--namespace --deep --repair --json",
    "namespaces": "--drop --json",
    "formats": "--json",
    "export": "--namespace --openie --graphml",
    "eval": "--rescore --json",
    "data convert": "--format --force",
    "data check": "--format --json",
}


def options_of(group, name=""):
    """Names of the options of every command, by its name."""
    found = {}
    for key, command in group.commands.items():
        path = f"{name} {key}".strip()
        if isinstance(command, click.Group):
            found |= options_of(command, path)
        if not isinstance(command, click.Group) or command.invoke_without_command:
            found[path] = {p.opts[0] for p in command.params if isinstance(p, click.Option)}
    return found


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A source, an index made of it, OpenIE results for it."""
    folder = tmp_path_factory.mktemp("ignored")
    source = write_lines(folder / "source.jsonl", FILMS)
    docs = [
        {"idx": r["id"], "passage": r["text"], "extracted_entities": [], "extracted_triples": []}
        for r in FILMS
    ]
    openie = folder / "openie.json"
    openie.write_text(json.dumps({"docs": docs}))
    return {
        "folder": folder,
        "source": source,
        "openie": openie,
        "index": make_index(folder),
    }


def test_every_option_of_every_command_is_in_the_table():
    table = {
        name: set(always.split()) | set(REFUSED.get(name, ((), {}))[1])
        for name, always in COUNT_ALWAYS.items()
    }
    assert table == options_of(main)


@pytest.mark.parametrize(
    ("name", "option"), [(name, o) for name, (_, options) in REFUSED.items() for o in options]
)
def test_an_option_that_would_change_nothing_is_refused(places, name, option):
    call, options = REFUSED[name]
    arguments = [part.format(**places) for part in (*call, *options[option])]
    before = sorted(places["folder"].rglob("*"))
    said = run(*arguments, code=2).stderr
    assert option.lstrip("-") in said, said
    assert sorted(places["folder"].rglob("*")) == before


def test_the_same_options_are_taken_where_they_count(places):
    call = ("index", places["source"], "--index", places["folder"] / "new")
    taken = ("--model", "fake", "--max-failures", "0.2", "--concurrency", "2", "--price", "1,2")
    run(*call, "--extractor", "llm", *taken, "--dry-run")
    assert "--dry-run or --budget" in run(*call, "--extractor", "llm", *taken, code=2).stderr


def test_a_run_is_told_to_programs(places):
    queries = write_lines(places["folder"] / "q.jsonl", [{"id": "1", "question": "Alien?"}])
    out = places["folder"] / "out.trec"
    said = run("search", places["index"], "--queries", queries, "--run", out, "--json").stdout
    lines = len(out.read_text().splitlines())
    assert json.loads(said) == {"run": str(out), "questions": 1, "lines": lines} and lines
