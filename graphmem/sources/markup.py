"""What a passage says, apart from how it is written: names, vectors and words are of the reading.

A parser of each kind of markup says what a reader of the rendered text sees; where it stands in
the text as written is found by looking for it there, piece after piece. Plain text is told by one
search and stays as it is.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import regex
import yaml
from numpy.typing import NDArray

from graphmem.base.text import invisible_spans
from graphmem.types import Passage

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token
    from selectolax.lexbor import LexborNode

VERSION = "3"
"""Of the rules below: readings by another version are made again."""

Kind = tuple[Callable[[str], object], Callable[[str], Iterable[str]]]
"""What shows that a text is of this kind, and the pieces that a reader sees of it."""

_LONGEST = 20_000  # characters that a parser is given at once
_MARKS_ALONE = regex.compile(r"[^\p{L}\p{N}]*+")
_WINDOW = 4096  # characters of markup between two pieces of text
_TAGS = (
    "a|abbr|acronym|address|article|aside|b|bdi|bdo|big|blockquote|body|br|button|caption|center|"
    "cite|code|col|colgroup|dd|del|details|dfn|div|dl|dt|em|figcaption|figure|font|footer|form|h[1-6]|"
    "head|header|hr|html|i|iframe|img|input|ins|kbd|label|li|link|main|mark|meta|nav|noscript|ol|"
    "option|p|picture|pre|q|rp|rt|ruby|s|samp|script|section|select|small|source|span|strike|strong|"
    "style|sub|summary|sup|svg|table|tbody|td|template|textarea|tfoot|th|thead|time|title|tr|tt|u|"
    "ul|var|video|wbr"
)
_ENTITY = r"&(?:\#[0-9]{1,7}|\#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});"
_ANY = regex.compile(
    r"[\x1b`<&\\\[*{|~¹²³\u2070-\u2079]|(?<!\w)_|'''|(?<![\w.+-])@\p{L}|:\w+:`"
    r"|^[ ]{0,3}(?:[-+][ \t]|\#{1,6}[ \t]|>|---|===|\+\+\+|\d{1,9}[.)][ \t]|\.\.[ ]|==)",
    regex.MULTILINE,
)
_TERMINAL = regex.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]{0,2000}(?:\x07|\x1b\\)|\x1b[@-_]"
)
_CHAT = regex.compile(
    r"<(?:[@\#!]&?!?|:(?=\w+:\d+>)|(?=(?:https?://|mailto:)[^\s|<>]*\|))([^\s|<>]{1,500})(?:\|([^<>\n]{1,500}))?>"
    r"|(?<![\p{L}\p{N}_.+@/\[-]|;[ ])@(?=\p{L})"
)
# Links of Org, Jira, forums, AsciiDoc and Pandoc, and colours of Jira.
_LINKS = regex.compile(
    r"\[\[[^\[\]\n]{1,500}\]\[([^\[\]\n]{1,300})\]\]"
    r"|\[([^\[\]|\n]{1,300})\|(?:https?://|mailto:)[^\[\]|\n]{1,500}\]"
    r"|\[(b|i|u|s|url|color|size|quote)(?:=[^\[\]\n]{0,500})?\]([^\[\]]{1,300})\[/\3\]"
    r"|(?<![\w(])(?:link:|xref:|https?://)[^\s\[\]<>()|]{1,300}"
    r"\[((?=[^\[\]]*\p{L}{2})[^\[\]\n]{1,300})\]"
    r"|\[([^\[\]\n]{1,300})\]\{[.#][^{}\n]{1,100}\}"
    r"|\{color:[^{}\n]{1,30}\}([^{}\n]{1,300})\{color\}"
)
# Marks of notes right behind a name, and letters of one word with blanks between.
_NOTE = regex.compile(
    r"(?=[¹²³\u2070-\u2079]"
    r"|\[(?:\d{1,3}|[a-z]|(?:note|nb|n) \d{1,3}|\p{L}+ needed|who\?|when\?)\](?!\())"
    r"(?<=\b\p{Lu}[\p{L}'’-]{2,40})"
)
_SPACED = regex.compile(r"(?<![\p{L}\p{N}])\p{Lu}(?:[ ]\p{Ll}(?![\p{L}\p{N}])){4,30}")
_HTML = regex.compile(rf"</?(?:{_TAGS})(?=[\s/>])[^<>]*>|<!--|{_ENTITY}", regex.IGNORECASE)
_NO_TAG = regex.compile(rf"<(?!/?(?:{_TAGS})(?=[\s/>])[^<>]*>|!--)", regex.IGNORECASE)
_NO_ENTITY = regex.compile(rf"&(?!{_ENTITY[1:]})")
_MARKDOWN = regex.compile(
    r"\]\s?[\[(]|\[\^|\[\[|\[-?@|\*[^\s*]|(?<!\w)_+[^\s_]|`|~~|\\[!-/:-@\[-`{-~]"
    r"|^[ ]{0,3}\[[^\]\n]+\]:"
    r"|^[ ]{0,3}(?:[-+*][ \t]|\#{1,6}[ \t]|>|(?:---|===)[-=]*[ \t]*$|\d{1,9}[.)][ \t]|\||```)"
    r"|\|[ \t]*:?-{2,}",
    regex.MULTILINE,
)
_WIKI = regex.compile(
    r"\[\[[^\[\]\n]+\]\]|'''|^={2,6}[^=\n]+={2,6}[ \t]*$|\{\{[^{}\n|]+\|"
    r"|\[https?://[^\s\[]++ [^\]\n]+\](?!\()",
    regex.MULTILINE,
)
_NO_WIKI = regex.compile(r"\]\(|^[ ]{0,3}\#{1,6}[ ]|```", regex.MULTILINE)
_REST = regex.compile(
    r"^[ ]*\.\.[ ](?:[\w:-]+::|\[[^\]\n]+\][ ]|_[^\n]+:|\|[^|\n]+\|)"
    r"|(?<![\w`]):[\w:+.-]{1,60}:`[^`\n]|`[^`\n]{1,500}`_(?!\w)|(?<!\w)\[[\#\w*]{1,40}\]_(?!\w)",
    regex.MULTILINE,
)
_ROLE = regex.compile(r":[\w:+.-]{1,60}:`~?(?:([^`<]*+)<[^`>]*+>|([^`]*+))`", regex.DOTALL)
_DIRECTIVE = regex.compile(r"^\.\. [\w:-]+::[ ]?")
_LATEX = regex.compile(
    r"\\[a-zA-Z]{2,30}\*?(?:\[[^\]\n]{0,200}\]){0,2}\{|\\[\"'`^~=.][A-Za-z{]|\\begin\{"
    r"|\{\\(?:bf|it|em|sc|sl|tt|sf|rm|bfseries|itshape|scshape|ttfamily)\b"
)
_REFERENCE = regex.compile(r"^[ ]{0,3}\[[^\]\n]+\]:[ \t]*<?[^\s>]*[/.\#?:]", regex.MULTILINE)
_MARKS = regex.compile(r"\[\^[^\]\s]{1,60}\]:?|\[(?:-?@[\w:.+/-]{1,80}(?:;[ ]*)?)+\]")
_WIKI_LINK = regex.compile(r"!?\[\[(?:[^\[\]\n|]{1,300}\|)?([^\[\]\n|]{1,300})\]\]")
_UNDEFINED = regex.compile(r"\[(\p{L}[^\[\]\n]{0,300})\]\[([^\[\]\n]{0,100})\]")
_FRONT = regex.compile(
    r"\A\ufeff?(?:[ \t]*\r?\n)*(---|\+\+\+)[ \t]*\r?\n(.{0,8000}?)^\1[ \t]*(?:\r?\n|\Z)",
    regex.DOTALL | regex.MULTILINE,
)
_FIELD = regex.compile(r"([A-Za-z_][\w-]{0,60})[ \t]*:(?:[ \t]+(.*))?")
_INLINE = regex.compile(
    "a|abbr|acronym|b|bdi|bdo|big|cite|code|data|del|dfn|em|font|i|ins|kbd|label|mark|q"
    "|rp|rt|ruby|s|samp|small|span|strike|strong|sub|sup|time|tt|u|var|wbr|-.*"
)
_HIDDEN = frozenset({"script", "style", "template", "noscript", "-comment", "head"})
_NO_BLOCKS = frozenset({"br", "button", "hr", "img", "input", "td", "th", *_HIDDEN})
_WIKI_PAIRS = tuple(  # what opens in wiki text, and what ends it
    regex.compile(pair)
    for pair in (
        r"\{\{|(\}\})",
        r"\{\||(\|\})",
        r"\[\[|(\]\])",
        r"\[(?=\w+:|//)|(\])",
        r"<(?=\p{L})|(</|/>)",
    )
)
_MOST_WORK = 4_000_000  # characters that are read once more for marks without an end
_LATEX_LINK = regex.compile(r"\\href[ ]?\{[^{}\n]{0,500}\}[ ]?(?=\{)")
_SILENT_IN_LATEX = frozenset(  # fonts, and where a word may be divided
    ("-", "bf", "it", "em", "sc", "sl", "tt", "sf", "rm")
    + ("bfseries", "itshape", "scshape", "ttfamily")
)
_NOTES_OF_LATEX = frozenset({"footnote", "thanks", "marginpar", "endnote"})
_CITING = regex.compile(
    r".*cite.*|(?:eq|page|auto|c|C|v)?ref|label|bibliography(?:style)?|include.*|input|usepackage|footnotemark|[vh]space"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A text as it is read.

    Attributes:
        text: What a reader sees of it, n characters.
        places: Where each of them stands in the text as written, ascending, int64 [n + 1]; the
            last is the end of that text.
    """

    text: str
    places: NDArray[np.int64]

    def written(self, start: int, end: int) -> tuple[int, int]:
        """The span as written [start, end) of a span of the reading that is not empty."""
        return int(self.places[start]), int(self.places[end - 1]) + 1


def read(text: str) -> Reading:
    """What a reader of the rendered text sees: without markup and characters that do not show.

    What only looks like markup stays. Never fails: text that a parser cannot read stays.

    >>> reading = read("See [Ada *Byron*](p/1.html)[^3], a < b and &eacute;.")
    >>> reading.text
    'See Ada Byron, a < b and é.'
    >>> reading.written(4, 13)
    (5, 15)
    >>> read("2*3*4 [sic] x_1 < y_2, List<String> R&D").text
    '2*3*4 [sic] x_1 < y_2, List<String> R&D'
    """
    return _read(text)


def as_read(passage: Passage) -> Passage:
    """The passage with its title and text as they are read; most are plain and stay the same."""
    if _is_plain(passage.text) and _is_plain(passage.title):
        return passage
    text = read(passage.text).text
    return replace(passage, title=" ".join(read(passage.title).text.split()), text=text)


def _is_plain(text: str) -> bool:
    return not (
        _ANY.search(text) or "\xa0" in text or invisible_spans(text) or _SPACED.search(text)
    )


def _read(text: str) -> Reading:
    reading = written = Reading(text, np.arange(len(text) + 1))
    if _is_plain(text):
        return written
    if _ANY.search(text):
        reading = _without(reading, [(*m.span(), "") for m in _TERMINAL.finditer(text)])
        chat = [(*m.span(), m[2] or m[1] or "") for m in _CHAT.finditer(reading.text)]
        reading = _without(reading, chat)
        reading = _without(reading, [(*m.span(), _said(m)) for m in _LINKS.finditer(reading.text)])
        reading = _joined(reading, [_read_part(part) for part in _parts(reading.text)])
        reading = _without(reading, [(*m.span(), " ") for m in _NOTE.finditer(reading.text)])
    reading = _without(reading, invisible_spans(reading.text))
    blanks = [m.start() + n for m in _SPACED.finditer(reading.text) for n in range(1, len(m[0]), 2)]
    reading = _without(reading, [(at, at + 1, "") for at in blanks])
    said = reading.text.replace("\xa0", " ").replace("\u202f", " ")
    stripped = said.strip()
    first = len(said) - len(said.lstrip())
    places = reading.places[first : first + len(stripped) + 1]
    return Reading(stripped, places) if stripped else written


def _said(link: regex.Match[str]) -> str:
    """What is seen of a link: the last of its groups."""
    return link[link.lastindex] if link.lastindex else ""


def _without(reading: Reading, spans: Sequence[tuple[int, int, str]]) -> Reading:
    """The reading with something else in place of spans of it."""
    if not spans:
        return reading
    parts: list[str] = []
    places: list[NDArray[np.int64]] = []
    done = 0
    for start, end, instead in spans:
        parts += (reading.text[done:start], instead)
        places += (reading.places[done:start], np.repeat(reading.places[start], len(instead)))
        done = end
    places.append(reading.places[done:])
    return Reading("".join([*parts, reading.text[done:]]), np.concatenate(places))


def _joined(reading: Reading, parts: Iterable[tuple[str, list[int]]]) -> Reading:
    """The readings of the parts of a reading, which hold places within it."""
    texts, places = [], []
    for text, inner in parts:
        texts.append(text)
        places.append(np.array(inner, dtype=np.int64))
    places.append(np.array([len(reading.text)], dtype=np.int64))
    return Reading("".join(texts), reading.places[np.concatenate(places)])


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """Parts that a parser can be given, with where they start; best between lines."""
    start = 0
    while len(text) - start > _LONGEST:
        middle, end = start + _LONGEST // 2, start + _LONGEST
        cut = max(text.rfind("\n\n", middle, end), text.rfind("\n", middle, end)) + 1 or end
        yield start, text[start:cut]
        start = cut
    yield start, text[start:]


def _read_part(part: tuple[int, str]) -> tuple[str, list[int]]:
    start, written = part
    if _MARKS_ALONE.fullmatch(written):  # parsers take long to see that nothing is marked
        return written, list(range(start, start + len(written)))
    text, places = _of_kinds(written, _CITED, _head_end(written) if start == 0 else 0)
    if any(sign(text) for sign, _ in _KINDS):
        inner = places
        text, places = _of_kinds(text, _KINDS, 0)
        places = [inner[place] for place in places]
    text, blanks = text.rstrip(), len(written.rstrip())  # the line between this part and the next
    places = [start + place for place in places[: len(text)]]
    return text + written[blanks:], places + list(range(start + blanks, start + len(written)))


def _of_kinds(text: str, kinds: Sequence[Kind], head: int) -> tuple[str, list[int]]:
    """What a text says by the first of the kinds that it shows a sign of, and the places of that.

    Of its head, which ends at `head`, the title alone.
    """
    found, body = _Found(text), text[head:]
    if head and (title := _title(text)):
        found.add(f"{title}\n\n")
    found.at = head
    pieces = next((pieces for sign, pieces in kinds if sign(body)), None)
    try:
        said = [body] if pieces is None else list(pieces(body))
    except Exception:  # noqa: BLE001 the parsers are other people's, and fail in many ways
        said = [body]
    for piece in said:
        found.add(piece)
    return "".join(found.text), found.places


def _head_end(text: str) -> int:
    """Where the front matter of a document ends, 0 where there is none."""
    front = _FRONT.match(text)
    return front.end() if front and head_fields(front[1], front[2]) else 0


def _title(text: str) -> str:
    front = _FRONT.match(text)
    title = (head_fields(front[1], front[2]) or {}).get("title") if front else None
    return str(title) if isinstance(title, str | int | float) else ""


def head_fields(fence: str, head: str) -> dict[str, Any] | None:
    r"""The fields of a document's head, None where it is none.

    What is no YAML but has lines of fields alone is read line by line, as people and templates
    write it.

    >>> head_fields("---", "title: Ulysses: a novel\ntags:\n- Dublin\n")
    {'title': 'Ulysses: a novel', 'tags': ['Dublin']}
    >>> head_fields("---", "He said: come.\nTo whom: she.\n[no]: {") is None
    True
    """
    try:
        fields = tomllib.loads(head) if fence == "+++" else yaml.safe_load(head)
    except (tomllib.TOMLDecodeError, yaml.YAMLError, ValueError, RecursionError):
        return None if fence == "+++" else _lines_of_fields(head)
    return fields if isinstance(fields, dict) else None


def _lines_of_fields(head: str) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    last = ""
    for line in head.splitlines():
        field = _FIELD.fullmatch(line)
        if field:
            last = field[1]
            found[last] = field[2].strip().strip("\"'") if field[2] else []
        elif line.lstrip().startswith("- ") and isinstance(found.get(last), list):
            found[last].append(line.lstrip()[2:].strip())
        elif line.strip() and line[0] not in " \t#":
            return None
    return found or None


class _Found:
    """Pieces of text that stand in this order in a text as written, and their places there."""

    def __init__(self, written: str) -> None:
        self.written = written
        self.text: list[str] = []
        self.places: list[int] = []
        self.at = 0

    def add(self, piece: str) -> None:
        """Look for the next piece, or where it is written in another way, for its characters."""
        self.text.append(piece)
        place = self.written.find(piece, self.at, self.at + len(piece) + _WINDOW)
        if place >= 0 and piece.strip():
            self.places += range(place, place + len(piece))
            self.at = place + len(piece)
            return
        last = max(len(self.written) - 1, 0)
        for letter in piece:
            place = self.written.find(letter, self.at, self.at + 16)
            self.places.append(place if place >= 0 else min(self.at, last))
            self.at = place + 1 if place >= 0 else self.at


def _html(text: str) -> Iterator[str]:
    from selectolax.lexbor import LexborHTMLParser

    known = _NO_ENTITY.sub("&amp;", _NO_TAG.sub("&lt;", text))
    root = LexborHTMLParser(f"<body>{known}").body
    if root is None:
        yield text
        return
    for node in root.traverse(include_text=True):
        tag = node.tag
        if tag and _INLINE.fullmatch(tag) and _is_behind_a_block(node):
            yield "\n"
        if tag == "-text":
            yield "" if _is_hidden(node) else node.text_content or ""
        elif tag == "img":
            yield str(node.attributes.get("alt") or "")
        elif tag in ("rt", "rp"):  # how a word is said, above it
            yield " "
        elif tag in ("td", "th"):
            yield " | "
        elif tag is None or not _INLINE.fullmatch(tag):
            yield "\n"


def _is_hidden(node: LexborNode) -> bool:
    above, hidden = node.parent, False
    while above is not None and above.tag != "body":
        hidden, above = hidden or above.tag in _HIDDEN, above.parent
    return hidden


def _is_behind_a_block(node: LexborNode) -> bool:
    """Whether a paragraph or such has ended right before it, without a blank."""
    tag = node.prev.tag if node.prev else None
    if tag is None or tag in _NO_BLOCKS or _INLINE.fullmatch(tag):
        return False
    return not (node.text_content or "")[:1].isspace()


@cache
def _markdown_parser(references: bool) -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"maxNesting": 30}).enable(["table", "strikethrough"])
    parser.inline.ruler.before("link", "marks", _inline_marks)
    return parser if references else parser.disable("reference")


def _inline_marks(state: StateInline, silent: bool) -> bool:
    """Footnote marks and citations say nothing; [[Ada|the countess]] says what is last in it.

    [Ada Byron][2] is a name also where 2 is defined in another piece of its document.
    """
    from markdown_it.common.utils import normalizeReference

    first = state.src[state.pos]
    if first not in "[!":
        return False
    match = _MARKS.match(state.src, state.pos) if first == "[" else None
    link = None if match else _WIKI_LINK.match(state.src, state.pos)
    if first == "[" and not match and not link and not state.src[: state.pos][-1:].isalnum():
        link = _UNDEFINED.match(state.src, state.pos)
        references = state.env.get("references", {})
        if link and normalizeReference(link[2] or link[1]) in references:
            return False
    if not match and not link:
        return False
    if link and not silent:
        state.push("text", "", 0).content = link[1]
    state.pos = (match or link).end()  # type: ignore[union-attr]
    return True


def _markdown(text: str) -> Iterator[str]:
    for token in _markdown_parser(bool(_REFERENCE.search(text))).parse(text):
        if token.type == "inline":
            yield from _inline(token.children or [])
        elif token.type in ("fence", "code_block"):
            yield f"{token.content}\n"
        elif token.type == "html_block":
            yield from _html(token.content)
        elif token.type == "list_item_open" and token.info:
            yield f"{token.info}{token.markup} "
        elif token.type in ("td_close", "th_close"):
            yield " | "
        elif token.type in ("paragraph_close", "heading_close", "tr_close"):
            yield "\n" if token.hidden or token.type == "tr_close" else "\n\n"


def _inline(tokens: Sequence[Token]) -> Iterator[str]:
    before = ""
    for i, token in enumerate(tokens):
        piece = ""
        if token.type == "html_inline":
            if not _HTML.match(token.content):
                piece = token.content
            elif token.content[:3].lower() == "<br":
                piece = "\n"
        elif token.type in ("softbreak", "hardbreak"):
            piece = "\n"
        elif token.type in ("em_open", "em_close", "strong_open", "strong_close"):
            after = tokens[i + 1].content[:1] if i + 1 < len(tokens) else ""
            inside = (before + after).isascii() and before.isalnum() and after.isalnum()
            if inside and (token.markup == "*" or (before + after).isdigit()):
                piece = token.markup  # 2*3*4
        else:
            piece = token.content
        if piece:
            yield piece
            before = piece[-1]
        elif token.type == "html_inline":
            before = ""


def _wiki(text: str) -> Iterator[str]:
    import mwparserfromhell
    from mwparserfromhell.parser import ParserError

    if _unclosed(text) * len(text) > _MOST_WORK:
        yield text
        return
    try:
        nodes = mwparserfromhell.parse(text).nodes
    except ParserError:
        yield text
        return
    yield from _wiki_nodes(nodes)


def _unclosed(text: str) -> int:
    """How many marks of wiki text open without an end: for each the parser reads all that follows.

    >>> _unclosed("}} {{a|b}} [[c]] {{d|{{e}} <br/> <b>")
    2
    """
    total = 0
    for pair in _WIKI_PAIRS:
        count = 0
        for end in pair.findall(text):
            count = max(count - 1, 0) if end else count + 1
        total += count
    return total


def _wiki_nodes(nodes: Iterable[Any]) -> Iterator[str]:  # noqa: C901 one case a kind of node
    from mwparserfromhell import nodes as kinds

    for node in nodes:
        match node:
            case kinds.Wikilink():
                yield from _wiki_nodes((node.text or node.title).nodes)
            case kinds.ExternalLink():
                yield from _wiki_nodes((node.title or node.url).nodes)
            case kinds.Heading():
                yield from _wiki_nodes(node.title.nodes)
            case kinds.Tag() if str(node.tag).strip().lower() == "br":
                yield "\n"
            case kinds.Tag():
                if str(node.tag).strip().lower() not in ("ref", "script", "style"):
                    yield from _wiki_nodes(node.contents.nodes if node.contents else ())
            case kinds.HTMLEntity():
                yield str(node.normalize())
            case kinds.Template() if not node.params:
                yield str(node)
            case kinds.Template():
                cites = str(node.name).strip().lower().startswith(("cite", "sfn", "efn", "reflist"))
                for param in () if cites else node.params:
                    yield from _wiki_nodes(param.value.nodes)
                    yield " "
            case kinds.Comment():
                pass
            case _:
                yield str(node)


def _rest(text: str) -> Iterator[str]:
    from docutils import nodes
    from docutils.core import publish_doctree

    from graphmem.sources.formats.rst import DOCUTILS

    settings = {
        "report_level": 5,
        "halt_level": 6,
        "file_insertion_enabled": False,
        "raw_enabled": False,
        "_disable_config": True,
    }
    # Sphinx has roles of its own.
    text = _ROLE.sub(lambda role: (role[1] or "").rstrip() or role[2] or "", text)
    marks = nodes.comment | nodes.footnote_reference | nodes.citation_reference
    with DOCUTILS:
        tree = publish_doctree(text, settings_overrides=settings)
    for node in tree.findall():
        if isinstance(node, nodes.Text):
            above: Any = node.parent
            if isinstance(above.parent, nodes.system_message):  # a directive of another program
                if isinstance(above, nodes.literal_block):
                    yield _DIRECTIVE.sub("", node.astext())
            elif not isinstance(above, marks):
                yield node.astext()
        elif isinstance(node, nodes.image):
            yield str(node.get("alt", ""))
        elif not isinstance(node, nodes.Inline | nodes.Invisible):
            yield "\n\n" if node.parent is tree else "\n"


def _latex(text: str) -> Iterator[str]:
    from pylatexenc.latexwalker import LatexWalker, LatexWalkerError

    try:
        shown = _LATEX_LINK.sub("", text)
        nodes, _, _ = LatexWalker(shown, tolerant_parsing=True).get_latex_nodes()
    except LatexWalkerError:
        yield text
        return
    yield from _latex_nodes(nodes)


def _latex_nodes(nodes: Iterable[Any]) -> Iterator[str]:  # noqa: C901 one case a kind of node
    from pylatexenc import latexwalker as kinds
    from pylatexenc.latex2text import LatexNodes2Text

    for node in nodes:
        match node:
            case None:
                pass
            case kinds.LatexGroupNode() | kinds.LatexEnvironmentNode():
                yield from _latex_nodes(node.nodelist)
            case kinds.LatexMacroNode() if _CITING.fullmatch(node.macroname):
                pass
            case kinds.LatexMacroNode() if node.macroname in _SILENT_IN_LATEX:
                pass
            case kinds.LatexMacroNode():
                if node.macroname in _NOTES_OF_LATEX:
                    yield " "
                arguments = node.nodeargd.argnlist if node.nodeargd else []
                if len(node.macroname) > 1 and any(arguments):
                    yield from _latex_nodes(arguments)
                    yield node.macro_post_space
                else:
                    said = LatexNodes2Text().nodelist_to_text([node])
                    yield said if said or node.macroname == "item" else ""
                    if not said and len(node.macroname) > 1:
                        yield node.latex_verbatim() if "{" not in node.latex_verbatim() else ""
            case kinds.LatexSpecialsNode():
                yield LatexNodes2Text().nodelist_to_text([node])
            case _:
                yield node.latex_verbatim()


def _is_wiki(text: str) -> bool:
    return bool(_WIKI.search(text)) and not _NO_WIKI.search(text)


_CITED: list[Kind] = [(_LATEX.search, _latex)]  # citations stand in Markdown too
_KINDS: list[Kind] = [
    (_REST.search, _rest),
    (_is_wiki, _wiki),
    (_MARKDOWN.search, _markdown),
    (_HTML.search, _html),
]
