"""Commands that take passages out of an index."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import click

from graphmem.base.counts import counted
from graphmem.base.layout import shown
from graphmem.cli.options import refuse_ignored, with_index, with_namespace, with_where
from graphmem.errors import ExitCode
from graphmem.rendering import json as render_json
from graphmem.rendering import text as render
from graphmem.rendering.progress import progress

F = TypeVar("F", bound=Callable[..., Any])


def with_wait(command: F) -> F:
    """The option of commands that write to an index."""
    return click.option(
        "--wait",
        type=click.FloatRange(min=0, max=1e9),
        default=0,
        show_default=True,
        metavar="SECONDS",
        help="Wait so long for another process that is writing to the index.",
    )(command)


@click.command("delete")
@with_index
@click.option("--id", "ids", multiple=True, metavar="ID", help="A passage (repeatable).")
@click.option(
    "--document",
    "documents",
    multiple=True,
    metavar="ID",
    help="A document with all its pieces: the path of a file, the id of a record (repeatable).",
)
@with_where("Passages whose metadata fulfils this")
@with_wait
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def delete_command(
    index: Path,
    ids: tuple[str, ...],
    documents: tuple[str, ...],
    where: dict[str, Any] | None,
    wait: float,
    as_json: bool,
) -> None:
    """Delete passages: no search finds them from now on.

    Their bytes stay in the folder until graphmem compact. An id or document that is not in the
    index is an error, and nothing is deleted then.

    Example: graphmem delete my.index --document notes/plan.md

    Example: graphmem delete my.index --where author=Ada --where 'year<1843'
    """
    if not (ids or documents or where):
        raise click.UsageError("name what to delete: --id, --document or --where")
    from graphmem.memory import GraphMemory

    with progress() as tell:
        report = GraphMemory.open(index).delete(
            ids, documents=documents, where=where, timeout=wait, progress=tell
        )
    if as_json:
        said = {"deleted": report.deleted, "passages": report.passages, "entities": report.entities}
        click.echo(render_json.json_text(said))
        return
    name = render.plain(shown(index))
    click.echo(
        f"{name}: {counted(report.deleted, 'passage')} deleted; "
        f"{counted(report.passages, 'passage')}, {counted(report.entities, 'entity')}"
    )
    if report.deleted:
        click.echo(f"their bytes stay in the folder until: graphmem compact {name}")


@click.command("compact")
@with_index
@with_wait
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def compact_command(index: Path, wait: float, as_json: bool) -> None:
    """Remove what deleted and replaced texts left in the files, and their bytes.

    Kept answers of language models go too where there is such, for they may repeat these texts.

    Example: graphmem compact my.index
    """
    from graphmem.memory import GraphMemory

    with progress() as tell:
        done = GraphMemory.open(index).compact(timeout=wait, progress=tell)
    if as_json:
        click.echo(render_json.json_text(asdict(done)))
        return
    answers = f" and {counted(done.answers, 'kept answer')}" if done.answers else ""
    click.echo(
        f"{render.plain(shown(index))}: {counted(done.removed, 'extraction')} and vectors{answers} "
        f"removed; {counted(done.bytes_before, 'byte')} before, {done.bytes_after:,} now"
    )


@click.command("verify")
@with_index
@click.option("--deep", is_flag=True, help="Assemble the snapshot anew, and compare the bytes.")
@click.option(
    "--repair", is_flag=True, help="Then make anew what follows from the rest; texts stay."
)
@with_wait
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def verify_command(index: Path, deep: bool, repair: bool, wait: float, as_json: bool) -> None:
    """Read every file of an index, and say what is damaged: exit code 1 if anything is.

    Checksums, counts, what files say of each other, the texts by the hashes that they are kept
    under. Nothing is changed without --repair.

    Example: graphmem verify my.index

    Example: graphmem verify my.index --repair
    """
    from graphmem.indexing.verification import verify_index
    from graphmem.memory import GraphMemory

    refuse_ignored(["--wait"], "--repair", there=repair)
    with progress() as tell:
        found = verify_index(index, deep=deep, progress=tell)
        before = found.problems
        if repair and before:
            found = GraphMemory.open(index).repair(timeout=wait, progress=tell)
    if as_json:
        click.echo(render_json.json_text(asdict(found)))
    else:
        click.echo(render.verified_text(index, found, len(before) if repair else 0))
    if found.problems:
        click.get_current_context().exit(ExitCode.FAILED)


@click.command("backup")
@with_index
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def backup_command(index: Path, file: Path, as_json: bool) -> None:
    """Write an index into one file, also while another process writes to it.

    Example: graphmem backup my.index my-index.tar
    """
    from graphmem.indexing.backup import backup_index

    with progress() as tell:
        size = backup_index(index, file, tell)
    if as_json:
        click.echo(render_json.json_text({"file": str(file), "bytes": size}))
    else:
        click.echo(f"{render.plain(str(file))}: {counted(size, 'byte')}")


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--index", required=True, type=click.Path(path_type=Path), help="A folder that is not there."
)
@with_namespace
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def restore_command(file: Path, index: Path, as_json: bool) -> None:
    """Make an index of a backup, and verify it.

    Example: graphmem restore my-index.tar --index my.index
    """
    from graphmem.indexing.backup import restore_index

    with progress() as tell:
        found = restore_index(file, index, tell)
    if as_json:
        click.echo(render_json.json_text(asdict(found)))
    else:
        click.echo(render.verified_text(index, found, 0))


@click.command("namespaces")
@click.argument("index", type=click.Path(path_type=Path))
@click.option("--drop", metavar="NAME", help="Remove this one, with all of its files.")
@with_wait
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def namespaces_command(index: Path, drop: str | None, wait: float, as_json: bool) -> None:
    """List the namespaces in the folder of an index, or remove one.

    Example: graphmem namespaces my.index

    Example: graphmem namespaces my.index --drop alice
    """
    from graphmem.base.layout import namespaces
    from graphmem.memory import GraphMemory

    refuse_ignored(["--wait"], "--drop", there=drop is not None)
    if drop is not None:
        GraphMemory.open(index, namespace=drop).drop(timeout=wait)
    names = list(namespaces(index))
    if as_json:
        click.echo(render_json.json_text(names))
    else:
        click.echo("\n".join(map(render.plain, names)) or "no namespaces")
