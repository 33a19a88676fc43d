"""Commands and options that have to do with language models: thin, as in cli.py."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from graphmem.base.counts import counted
from graphmem.cli.options import (
    refuse_ignored,
    reranker_choice,
    with_index,
    with_reranker,
    with_where,
)
from graphmem.errors import ConfigError
from graphmem.rendering import json as render_json
from graphmem.rendering import llm_text as render_llm
from graphmem.rendering import text as render
from graphmem.rendering.progress import progress

if TYPE_CHECKING:
    from graphmem.answering.chat_session import ChatSettings, Method
    from graphmem.evaluation.runs.trec import Question
    from graphmem.memory import GraphMemory
    from graphmem.storage.filters import Filter
    from graphmem.types import Price, Ranking

F = TypeVar("F", bound=Callable[..., Any])

_PIECES = 2  # a run of records is searched so much deeper, since pieces of one count once

_OF_MODELS = (
    "--model",
    "--budget",
    "--price",
    "--concurrency",
    "--pack",
    "--requests-per-minute",
    "--max-failures",
)

_MODEL = click.option(
    "--model",
    default="",
    help="Chat model, at the server of OPENAI_BASE_URL with the key in OPENAI_API_KEY "
    "[default: the index's own; or GRAPHMEM_MODEL].",
)


def with_indexing_options(command: F) -> F:
    """Options of index and add."""
    options = [
        click.option(
            "--extractor",
            help="spacy, llm (entities and facts by the chat model), import:FILE (OpenIE results "
            "in HippoRAG's form), spacy+llm or spacy+import:FILE (spaCy's names, the other's "
            "facts) [default: the index's own, or spacy].",
        ),
        _MODEL,
        click.option(
            "--budget", help="Stop before this run has spent so much: 500k tokens, or $3.50."
        ),
        click.option(
            "--price", metavar="IN,OUT", help="Money for a million tokens, e.g. 0.15,0.60."
        ),
        click.option(
            "--dry-run", is_flag=True, help="Estimate calls, tokens, time and cost; do nothing."
        ),
        click.option(
            "--concurrency",
            type=click.IntRange(min=1),
            default=8,
            show_default=True,
            help="Calls to the chat model at once.",
        ),
        click.option(
            "--pack",
            type=click.IntRange(min=1),
            help="Short passages in one call to the chat model; cheaper, but each can then "
            "influence its neighbours [default: the index's own, or 1].",
        ),
        click.option(
            "--requests-per-minute",
            type=click.FloatRange(min=0),
            default=0,
            help="Calls started in a minute; 0 is no limit.",
        ),
        click.option(
            "--max-failures",
            type=click.FloatRange(min=0),
            default=0.1,
            show_default=True,
            help="Passages the model may fail on: below 1 a share, from 1 a number.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class IndexingOptions:
    """What `with_indexing_options` gives."""

    extractor: str | None
    model: str
    budget: str | None
    price: str | None
    dry_run: bool
    concurrency: int
    pack: int | None
    requests_per_minute: float
    max_failures: float

    def prices(self) -> Price | None:
        """The price of a million tokens.

        Raises:
            ConfigError: It is no pair of numbers.
        """
        from graphmem.types import Price

        if self.price is None:
            return None
        try:
            read, written = map(float, self.price.split(","))
        except ValueError:
            read = -1.0
            written = -1.0
        if not (0 <= read < 1e9 and 0 <= written < 1e9):
            raise ConfigError(
                f"price {self.price!r}: expected IN,OUT, money for a million tokens: 0.15,0.60"
            )
        return Price(read, written)

    def imports(self, index: Path) -> bool:
        """Whether entities and facts come from a file, whose passages are whole."""
        from graphmem.model_specs import recorded_extractor

        return "import:" in (self.extractor or recorded_extractor(index))

    def settings(self, index: Path) -> ChatSettings:
        """Which model, how fast, for how much.

        Raises:
            ConfigError: Budget or price are malformed.
            UsageError: An option would change nothing, since the extractor asks no model, or has
                no use for spaCy, or nothing is priced.
        """
        from graphmem.answering.chat_session import ChatSettings
        from graphmem.llm.usage import parse_budget
        from graphmem.model_specs import asks_a_model, recorded_extractor

        extractor = self.extractor or recorded_extractor(index)
        refuse_ignored(
            _OF_MODELS,
            "an extractor that asks a model, e.g. --extractor llm",
            there=asks_a_model(extractor),
        )
        refuse_ignored(
            ["--price"], "--dry-run or --budget", there=self.dry_run or self.budget is not None
        )
        refuse_ignored(
            ["--spacy-model"],
            "an extractor that uses spaCy: --extractor spacy, spacy+llm or spacy+import:FILE",
            there=extractor.partition("+")[0] == "spacy",
        )
        price = self.prices()
        budget = None if self.budget is None else parse_budget(self.budget, price)
        speed = self.concurrency, self.requests_per_minute
        return ChatSettings(self.model, *speed, budget, self.pack)


def with_asking_options(command: F) -> F:
    """Options of search and ask."""
    options = [
        click.option(
            "--fact-filter",
            type=click.Choice(["none", "margin", "model"]),
            help="Of preset hipporag2: keep all facts, those nearly as near as the nearest, or "
            "those that the model chooses.",
        ),
        click.option(
            "--iterate",
            type=click.IntRange(min=1),
            metavar="N",
            help="Let the model reason in up to N sentences, and search for each (IRCoT).",
        ),
        click.option(
            "--residual", is_flag=True, help="Search again for what the first hits leave open."
        ),
        click.option("--clues", is_flag=True, help="Search with a draft answer of the model too."),
        _MODEL,
        with_reranker,
    ]
    for option in reversed(options):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class AskingOptions:
    """What `with_asking_options` gives."""

    fact_filter: str | None
    iterate: int | None
    residual: bool
    clues: bool
    model: str
    reranker: str | None
    rerank_depth: int | None

    @property
    def method(self) -> Method | None:
        """How to search again.

        Raises:
            UsageError: More than one way is named.
        """
        if sum([self.iterate is not None, self.residual, self.clues]) > 1:
            raise click.UsageError("give one of --iterate N, --residual and --clues")
        if self.iterate is not None:
            return "ircot"
        return "residual" if self.residual else "clues" if self.clues else None

    def open(self, index: Path, preset: str) -> GraphMemory:
        """The memory, with its embedder ready.

        Raises:
            IndexNotFoundError: There is no finished index.
        """
        from graphmem.memory import GraphMemory
        from graphmem.storage.current import open_current

        refuse_ignored(["--fact-filter"], "--preset hipporag2", there=preset == "hipporag2")
        reranker = reranker_choice(self.reranker, self.rerank_depth)
        open_current(index)  # says what is wrong before any model is loaded
        fact_filter = self.fact_filter or "none"
        memory = GraphMemory.open(index, chat=self.model, fact_filter=fact_filter, **reranker)
        with progress() as tell:
            memory.prepare(tell)
        return memory

    def search(
        self, memory: GraphMemory, question: str, k: int, preset: str, where: Filter | None
    ) -> tuple[Ranking, dict[str, Any]]:
        """A ranking, and what was searched for where that was more than the question."""
        if self.method is None:
            ranking = memory.search(question, k, preset, filter=where)
            asked: dict[str, Any] = {}
        else:
            found = memory.search_again(
                question, k, preset, method=self.method, steps=self.iterate or 0, filter=where
            )
            ranking = found.ranking
            asked = {"queries": list(found.queries), "enough": found.enough}
        return list(told_of_fall_backs([ranking], preset))[0], asked

    def search_each(
        self,
        memory: GraphMemory,
        questions: Sequence[Question],
        k: int,
        preset: str,
        method: Method,
        where: Filter | None,
    ) -> Iterator[tuple[Question, Ranking, dict[str, Any]]]:
        """The same, with this method, for every question of a file but for those that failed.

        Raises:
            ModelError: Some failed; after all others.
        """
        from graphmem.errors import ModelError

        steps = self.iterate or 0  # of "ircot" alone
        texts = [question.text for question in questions]
        failed: list[str] = []
        with progress() as tell:
            each = memory.search_each(texts, k, preset, method=method, steps=steps, filter=where)
            for number, (question, found) in enumerate(zip(questions, each, strict=True), start=1):
                tell("search", number, len(questions))
                if isinstance(found, ModelError):
                    failed.append(f"question {question.id}: {found}")
                    continue
                asked = {"queries": list(found.queries), "enough": found.enough}
                yield question, found.ranking, asked
        if failed:
            raise ModelError(
                f"{len(failed):,} of {counted(len(questions), 'question')} failed and are left "
                "out: run the same command again, which asks only what is left; "
                f"the first: {failed[0]}"
            )


def search_file(
    memory: GraphMemory,
    model: AskingOptions,
    method: Method,
    questions: list[Question],
    k: int,
    preset: str,
    where: Filter | None,
    run_file: Path | None,
    as_json: bool,
) -> None:
    """Search led by the model for a whole file; questions that fail are left out and said."""
    from graphmem.errors import ModelError
    from graphmem.evaluation.runs.trec import write_run

    done, failure = [], None
    depth = k if run_file is None else _PIECES * k
    try:
        each = model.search_each(memory, questions, depth, preset, method, where)
        for question, ranking, asked in each:
            done.append((question, ranking))
            if run_file is None and as_json:
                found = {"id": question.id, **render_json.ranking_json(ranking), **asked}
                click.echo(render_json.json_text(found))
            elif run_file is None:
                heading = render.plain(f"{question.id}: {question.text}")
                click.echo(f"{heading}\n{render.ranking_text(ranking)}")
                click.echo(render_llm.queries_text(asked))
    except ModelError as error:
        failure = error
    deque(told_of_fall_backs((ranking for _, ranking in done), preset), maxlen=0)
    if run_file is not None and done:
        lines = write_run(run_file, [q for q, _ in done], [r for _, r in done], k)
        tell_of_run(run_file, len(done), lines, as_json)
    if failure is not None:
        raise failure


def tell_of_run(run_file: Path, questions: int, lines: int, as_json: bool) -> None:
    """Say what was written: on standard error, for programs on standard output."""
    if as_json:
        said = {"run": str(run_file), "questions": questions, "lines": lines}
        click.echo(render_json.json_text(said))
    else:
        click.echo(
            f"{run_file}: {counted(questions, 'question')}, {counted(lines, 'line')}", err=True
        )


def told_of_fall_backs(rankings: Iterable[Ranking], preset: str) -> Iterator[Ranking]:
    """The rankings; then, on standard error, for how many questions preset hipporag2 kept no fact.

    HippoRAG 2 then ranks by similarity alone, and so does the preset.
    """
    count = dense = 0
    for ranking in rankings:
        count += 1
        dense += ranking.route == "dense"
        yield ranking
    if preset == "hipporag2" and dense:
        where = f" for {dense:,} of {counted(count, 'question')}" if count > 1 else ""
        click.echo(f"no fact was kept{where}: ranked by similarity alone (route dense)", err=True)


@click.command("ask")
@with_index
@click.argument("question")
@click.option(
    "-k", type=click.IntRange(min=1), default=5, show_default=True, help="Passages it reads."
)
@click.option("--preset", default="default", show_default=True, help="How to rank, as for search.")
@with_where("Only passages whose metadata fulfils this")
@with_asking_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def ask_command(
    index: Path,
    question: str,
    k: int,
    preset: str,
    where: Filter | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Answer a question from the passages of the memory, with its sources.

    Numbers in brackets are those of the sources below the answer. Where the passages do not hold
    it, the answer is "not in the memory"; where they contradict each other, all claims are listed.

    Example: graphmem ask my.index "In which county was the director of Alien born?" --model NAME

    Example: graphmem ask my.index "Who founded the club that plays there?" --iterate 3 --json

    Example: graphmem ask my.index "Who founded it?" --reranker maxsim --model NAME
    """
    asking = AskingOptions(**options)
    memory = asking.open(index, preset)
    ranking, asked = asking.search(memory, question, k, preset, where)
    if as_json:
        found = render_json.answer_json(memory.answer(ranking), ranking)
        click.echo(render_json.json_text({**found, **asked}, indent=2))
        return
    pieces = memory.stream_answer(ranking)
    while True:
        try:
            piece = next(pieces)
        except StopIteration as stop:
            answer = stop.value
            break
        click.echo(render.printable(piece), nl=False)
    click.echo("\n")
    click.echo(render_llm.sources_text(answer, ranking))
    click.echo(render_llm.queries_text(asked), nl=False)


@click.command("export")
@with_index
@click.option(
    "--openie",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write entities and triples here, in HippoRAG's form.",
)
@click.option(
    "--graphml",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the graph here: entities, phrases, passages, kinds and weights of edges.",
)
def export_command(index: Path, openie: Path | None, graphml: Path | None) -> None:
    """Write an index in a form that other programs read.

    Example: graphmem export my.index --openie triples.json

    Example: graphmem export my.index --graphml graph.graphml
    """
    from graphmem.integrations.export import export_graphml, export_index_openie

    if openie is None and graphml is None:
        raise click.UsageError("name what to write: --openie FILE or --graphml FILE")
    done = []  # said when all is written
    if openie is not None:
        done.append(f"{openie}: {counted(export_index_openie(index, openie), 'passage')}")
    if graphml is not None:
        nodes, edges = export_graphml(index, graphml)
        done.append(f"{graphml}: {counted(nodes, 'node')}, {counted(edges, 'edge')}")
    click.echo("\n".join(done))
