"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import click
from click.core import ParameterSource

F = TypeVar("F", bound=Callable[..., Any])


def with_index(command: F) -> F:
    """Argument `index` of a command: the folder of an index, or of a namespace in it."""
    return click.argument("index", type=click.Path(path_type=Path))(with_namespace(command))


def with_namespace(command: F) -> F:
    """The option that makes argument `index` the folder of a namespace."""

    @click.option(
        "--namespace", metavar="NAME", help="A memory of its own in the folder of the index."
    )
    @wraps(command)
    def run(*arguments: Any, index: Path, namespace: str | None, **options: Any) -> Any:
        from graphmem.base.layout import namespace_folder
        from graphmem.errors import ConfigError

        try:
            folder = index if namespace is None else namespace_folder(index, namespace)
        except ConfigError as error:
            raise click.UsageError(str(error)) from error
        return command(*arguments, index=folder, **options)

    return cast(F, run)


def with_preset(command: F) -> F:
    """Options of search and explain: how to rank."""
    command = click.option(
        "--no-rerank", "preset", flag_value="walk", help="The walk alone: --preset walk."
    )(command)
    return click.option(
        "--preset",
        default="default",
        show_default=True,
        help="How to rank: default (walk and second stage), walk, dense (cosine), bm25, rrf (both "
        "fused), linearrag; hipporag, hipporag2 where the index holds facts.",
    )(command)


def with_reranker(command: F) -> F:
    """Options of all commands that search: which reranker, and how deep."""
    command = click.option(
        "--rerank-depth",
        type=click.IntRange(min=1),
        help="How many passages it reads [default: 30].",
    )(command)
    return click.option(
        "--reranker",
        metavar="SPEC",
        help="Read the first passages of the ranking again and order them: a cross-encoder's "
        "folder, or maxsim (late interaction with the default vectors' model), maxsim:FOLDER, "
        "words (no model).",
    )(command)


def with_where(text: str) -> Callable[[F], F]:
    """The options that choose passages by their metadata: argument `where`, one filter or None.

    Args:
        text: What it is for.
    """

    def decorate(command: F) -> F:
        @wraps(command)
        def run(
            *arguments: Any,
            where: tuple[str, ...],
            since: str | None,
            as_of: str | None,
            time_field: str | None,
            **options: Any,
        ) -> Any:
            refuse_ignored(["--time-field"], "--since or --as-of", there=bool(since or as_of))
            return command(*arguments, where=_filter_of(where, since, as_of, time_field), **options)

        options = (
            click.option(
                "--where",
                multiple=True,
                metavar="CONDITION",
                help=f"{text}: FIELD=VALUE, FIELD!=VALUE, FIELD>=VALUE (also > < <=), or a "
                "filter in JSON; of several all must hold.",
            ),
            click.option(
                "--since",
                metavar="TIME",
                help="The same of a passage's time: then or later. 2023, 2023-05-08, "
                "2023-05-08T10:00Z, 'May 8, 2023'.",
            ),
            click.option("--as-of", metavar="TIME", help="Then or earlier."),
            click.option(
                "--time-field",
                metavar="FIELD",
                help="Where its time stands in its metadata [default: time, else date].",
            ),
        )
        for option in reversed(options):
            run = option(run)
        return cast(F, run)

    return decorate


def _filter_of(
    conditions: tuple[str, ...], since: str | None, as_of: str | None, time_field: str | None
) -> dict[str, Any] | None:
    from graphmem.errors import ConfigError
    from graphmem.storage.filters import TIME_FIELDS, parse_condition, time_filter

    try:
        parts = [parse_condition(condition) for condition in conditions]
        span = time_filter(since, as_of, (time_field,) if time_field else TIME_FIELDS)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    parts += [span] if span else []
    return {"$and": parts} if parts else None


def options_given() -> list[str]:
    """Names of the options that stand on the command line of the command that runs."""
    context = click.get_current_context()
    return [
        option.opts[0]
        for option in context.command.params
        if isinstance(option, click.Option)
        and context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
    ]


def refuse_ignored(options: Collection[str], needs: str, *, there: bool) -> None:
    """Refuse options that would change nothing.

    Args:
        options: Names of options, e.g. "--model".
        needs: What they go with, and how it is had.
        there: Whether that is there.

    Raises:
        UsageError: It is not, and one of the options stands on the command line.
    """
    ignored = [] if there else [name for name in options_given() if name in options]
    if ignored:
        raise click.UsageError(f"{ignored[0]} goes with {needs}")


def reranker_choice(reranker: str | None, rerank_depth: int | None) -> dict[str, Any]:
    """Arguments of `GraphMemory.open`.

    Raises:
        UsageError: A depth without a reranker.
    """
    from graphmem.searching.rerank_step import RERANK_DEPTH

    refuse_ignored(
        ["--rerank-depth"], "--reranker, e.g. --reranker maxsim", there=reranker is not None
    )
    return {"reranker": reranker, "rerank_depth": rerank_depth or RERANK_DEPTH}
