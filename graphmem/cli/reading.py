"""Options on how sources are read, and the list of what can be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

from graphmem.rendering import text as render
from graphmem.sources.options import ReadOptions

F = TypeVar("F", bound=Callable[..., Any])


def with_reading_options(command: F) -> F:
    """Options of the commands that read sources; they arrive as fields of `ReadOptions`."""
    options = [
        click.option(
            "--strict",
            is_flag=True,
            help="Stop at the first file or record that cannot be read, and add nothing.",
        ),
        click.option(
            "--include",
            multiple=True,
            metavar="GLOB",
            help="Of folders only such files, e.g. '*.md' or 'docs/**' (repeatable).",
        ),
        click.option(
            "--exclude",
            multiple=True,
            metavar="GLOB",
            help="Leave out such files and folders in folders (repeatable).",
        ),
        click.option(
            "--gitignore", is_flag=True, help="Obey .gitignore and .graphmemignore in folders."
        ),
        click.option(
            "--encoding",
            default="",
            metavar="NAME",
            help="Of all text files, e.g. cp1252 [default: found out for each].",
        ),
        click.option(
            "--text-field",
            default="text",
            show_default=True,
            help="Field or column of a record that holds its text.",
        ),
        click.option("--title-field", default="title", show_default=True, help="The same: title."),
        click.option("--id-field", default="", help="The same: id [default: id, _id or idx]."),
        click.option(
            "--delimiter",
            default="",
            metavar="CHARACTER",
            help="Between the cells of tables, \\\\t for a tab [default: found out].",
        ),
        click.option(
            "--max-bytes",
            type=click.IntRange(min=1),
            default=ReadOptions().max_bytes,
            show_default=True,
            help="Leave out larger documents and lines.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def reading_options(options: dict[str, Any]) -> ReadOptions:
    """Take the fields of `ReadOptions` out of the options of a command."""
    fields = {name: options.pop(name) for name in ReadOptions.__dataclass_fields__}
    delimiter = fields["delimiter"].replace("\\t", "\t")
    if len(delimiter) > 1:
        raise click.BadParameter("must be one character", param_hint="--delimiter")
    return ReadOptions(**{**fields, "delimiter": delimiter})


@click.command("formats")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def formats_command(as_json: bool) -> None:
    """List the kinds of files that can be read, and what each needs.

    Example: graphmem formats
    """
    from graphmem.sources.formats import FORMATS

    rows = [
        {
            "name": item.name,
            "title": item.title,
            "endings": list(item.endings),
            "extra": item.extra,
            "ready": not item.missing,
        }
        for item in FORMATS
    ]
    click.echo(json.dumps(rows, indent=2) if as_json else render.formats_text(rows))
