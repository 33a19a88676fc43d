"""What mkdocs asks while it builds: the reference of the command line, made from click itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from graphmem.cli import main

COMMANDS = "<!-- every command -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the help of every command where the page asks for it."""
    if COMMANDS not in markdown:
        return markdown
    return markdown.replace(COMMANDS, "\n\n".join(_sections(main, None, "graphmem")))


def _sections(command: click.Command, parent: click.Context | None, name: str) -> Iterator[str]:
    """Heading, prose, examples and options of a command and of those below it."""
    context = click.Context(command, info_name=name, parent=parent, terminal_width=96)
    yield _section(command, context)
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from _sections(found, context, inner)


def _section(command: click.Command, context: click.Context) -> str:
    paragraphs = [" ".join(part.split()) for part in (command.help or "").split("\n\n")]
    prose = [part for part in paragraphs if not part.startswith("Example: ")]
    examples = [part.removeprefix("Example: ") for part in paragraphs if part not in prose]
    formatter = context.make_formatter()
    command.format_usage(context, formatter)
    command.format_options(context, formatter)
    parts = [f"## {context.command_path}", *(part.replace("*", r"\*") for part in prose)]
    parts += ["\n".join(["```bash", *examples, "```"])] if examples else []
    parts += ["\n".join(["```text", formatter.getvalue().rstrip(), "```"])]
    return "\n\n".join(parts)
