"""Web pages: the main text, without navigation, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

from graphmem.errors import DataError
from graphmem.sources.formats.content import Content, code, heading, join_blocks, one_line, table

_DROPPED = frozenset(
    {
        *("script", "style", "noscript", "template", "svg", "math", "canvas", "iframe", "object"),
        *("embed", "audio", "video", "button", "select", "input", "textarea"),
        *("head", "datalist", "map"),
    }
)
_AROUND_TAGS = frozenset({"nav", "aside", "menu", "dialog"})
_PART_OF_TEXT = re.compile(
    r"(?:^|[\s_-])(?:admonition|callout|note|footnotes?|topic|tip|warning|starlight)(?:$|[\s_-])",
    re.IGNORECASE,
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_INLINE = frozenset(
    {
        *("a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn"),
        *("em", "font", "i", "ins", "kbd", "label", "mark", "q", "rp", "rt", "ruby", "s", "samp"),
        *("small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr"),
    }
)
_SPACES = re.compile(r"[ \t\r\n\f\xa0]+")
# Names of what stands around the main text, as whole words of an element's class, id or role.
_AROUND = re.compile(
    r"(?:^|[\s_-])(?:nav|navbar|navigation|menu|sidebar|breadcrumbs?|pagination|pager|cookie"
    r"|cookies|consent|banner|footer|masthead|share|sharing|social|related|advert|ads?|promo"
    r"|newsletter|subscribe|comments|skip|toc|headerlink|search)(?:$|[\s_-])",
    re.IGNORECASE,
)
_ROLES = frozenset({"navigation", "banner", "contentinfo", "search", "complementary", "menu"})
_LARGEST_DEPTH = 2000
"""Elements in elements; deeper ones are no page that people wrote."""
_TAG = re.compile(
    r"<!--.*?(?:-->|\Z)"
    r"|<(?P<raw>script|style|textarea|title|xmp|iframe|noframes)\b.*?(?:</(?P=raw)|\Z)"
    r"|<(?P<end>/?)(?P<name>[a-z][^\s/<>]*)",
    re.IGNORECASE | re.DOTALL,
)
# Elements that hold no others, or end where the next of them begins.
_FLAT = frozenset(
    {
        *("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param"),
        *("source", "track", "wbr", "p", "li", "dt", "dd", "option", "optgroup", "rp", "rt"),
        *("tr", "td", "th", "tbody", "thead", "tfoot", "caption", "colgroup", "html", "body"),
        *("head", "frame", "image", "keygen"),
    }
)
_BREAKING = frozenset(  # end a drawing that they stand in
    {
        *("b", "big", "code", "em", "i", "s", "small", "span", "strong", "strike", "sub", "sup"),
        *("tt", "u", "var", "ruby"),
        *("blockquote", "center", "div", "dl", "h1", "h2", "h3", "h4", "h5", "h6", "listing"),
        *("menu", "nobr", "ol", "pre", "table", "ul", "svg", "math"),
    }
)
_BORDERS = frozenset({"table", "object", "template", "marquee", "applet", "button", "svg", "math"})
_REACH = 100  # open elements among which an end tag finds its own
_LINK_SHARE = 0.7  # of the text of a list or box: more is navigation
_FEW_WORDS = 12
_LONGEST_NUMBER = 9  # digits of an item of a list in Markdown


def read(text: str) -> Iterator[Content]:
    r"""One document: what stands in <main>, <article> or the body.

    Raises:
        DataError: Elements are nested too deeply.

    >>> page = "<title>T</title><nav>Home</nav><main><h1>Ada</h1><p>She <b>wrote</b>.<ul><li>x"
    >>> next(read(page)).title, next(read(page)).text
    ('Ada', 'She wrote.\n\n- x')
    """
    tree = parsed(text)
    title = tree.css_first("title")
    name = one_line(_flat(title)) if title else ""
    root = _main(tree)
    if root is None:
        yield Content("", name)
        return
    blocks = _Walk().blocks(root)
    first = next((n for n, block in enumerate(blocks) if block.startswith("# ")), None)
    if first is not None and not any(b.startswith("# ") for b in blocks[first + 1 :]):
        name = blocks.pop(first)[2:]
    meta = {}
    html = tree.css_first("html")
    if html is not None and (language := html.attributes.get("lang")):
        meta["language"] = language
    yield Content(join_blocks(blocks) or name, name, meta)


def to_markdown(text: str) -> str:
    """A page or a part of one as Markdown, all of it."""
    tree = parsed(text)
    return join_blocks(_Walk(all_=True).blocks(tree.body)) if tree.body is not None else ""


def parsed(text: str) -> LexborHTMLParser:
    """The tree of a page, whose parsing takes time in proportion to the depth of elements.

    Raises:
        DataError: Elements are nested too deeply.
    """
    open_: list[str] = []
    drawn = False  # inside a drawing, whose elements are no page's
    for tag in _TAG.finditer(text):
        name = (tag["name"] or "").lower()
        if not name or name in _FLAT or (drawn and name not in _BREAKING):
            continue
        drawn = name in ("svg", "math") and not tag["end"]
        if not tag["end"]:
            open_.append(name)
            if len(open_) > _LARGEST_DEPTH:
                raise DataError("elements are nested too deeply")
            continue
        for back in range(1, min(len(open_), _REACH) + 1):
            other = open_[-back]
            if other == name:
                del open_[-back:]
                break
            if other in _BORDERS:
                break
    return LexborHTMLParser(text)


def _main(tree: LexborHTMLParser) -> LexborNode | None:
    body = tree.body
    if body is None:
        return None
    whole = len(body.text(deep=True)) if _depth_is_fit(body) else 0
    for selector in ("main", "[role=main]", "article"):
        found = tree.css(selector)
        if len(found) == 1 and len(found[0].text(deep=True)) * 10 >= min(whole, 4000):
            return found[0]
    return body


def _depth_is_fit(root: LexborNode) -> bool:
    """Walk down and along without recursion.

    Raises:
        DataError: Elements are nested too deeply.
    """
    depth, node = 0, root
    while True:
        child = node.first_child
        if child is not None:
            depth += 1
            if depth > _LARGEST_DEPTH:
                raise DataError("elements are nested too deeply")
            node = child
            continue
        while node.next is None:
            if node.mem_id == root.mem_id or node.parent is None:  # == compares all that is in them
                return True
            node = node.parent
            depth -= 1
            if depth <= 0:
                return True
        node = node.next


def _flat(node: LexborNode) -> str:
    return node.text(deep=True, separator="")


class _Walk:
    """Goes through a tree in its order and gathers blocks."""

    def __init__(self, all_: bool = False) -> None:
        self._all = all_
        self._blocks: list[str] = []
        self._line: list[str] = []

    def blocks(self, root: LexborNode) -> list[str]:
        self._children(root, "")
        self._flush("")
        return self._blocks

    def _flush(self, mark: str) -> None:
        text = _SPACES.sub(" ", "".join(self._line)).replace("\x00", "\n")
        text = "\n".join(line.strip() for line in text.split("\n")).strip()
        self._line = []
        if text:
            self._blocks.append(f"{mark}{text}")

    def _children(self, node: LexborNode, mark: str) -> None:
        child = node.first_child
        while child is not None:
            self._node(child, mark)
            child = child.next

    def _node(self, node: LexborNode, mark: str) -> None:
        tag = node.tag or ""
        if tag == "-text":
            self._line.append(node.text_content or "")
        elif tag.startswith("-") or tag == "!doctype" or tag in _DROPPED or self._is_around(node):
            return
        elif tag == "br":
            self._line.append("\x00")
        elif tag == "img":
            self._line.append(node.attributes.get("alt") or "")
        elif tag in _INLINE:
            self._children(node, mark)
        else:
            self._flush(mark)
            self._block(node, tag, mark)

    def _block(self, node: LexborNode, tag: str, mark: str) -> None:
        if tag in _HEADINGS:
            self._blocks.append(heading(_HEADINGS[tag], _visible(node)))
        elif tag in ("pre", "listing"):
            self._blocks.append(code(_flat(node).strip("\n")))
        elif tag == "table":
            self._table(node, mark)
        elif tag in ("ul", "ol"):
            self._list(node, tag, mark)
        elif tag == "dt":
            self._children(node, mark)
            if not "".join(self._line).rstrip().endswith(":"):
                self._line.append(":")
            self._flush(mark)
        else:
            self._children(node, mark)
            self._flush(mark)

    def _list(self, node: LexborNode, tag: str, mark: str) -> None:
        indent = " " * len(mark) if mark else ""
        before, self._blocks = self._blocks, []
        items: list[str] = []
        start = node.attributes.get("start") or ""
        number = int(start) - 1 if start.isdecimal() and len(start) < _LONGEST_NUMBER else 0
        child = node.first_child
        while child is not None:
            if child.tag == "li":
                number += 1
                bullet = f"{number}. " if tag == "ol" else "- "
                self._blocks = []
                self._children(child, "")
                self._flush("")
                text = "\n".join(block for block in self._blocks if block)
                if text:
                    pad = "\n" + " " * len(bullet)
                    items.append(indent + bullet + text.replace("\n", pad))
            child = child.next
        self._blocks = before
        if items:
            self._blocks.append("\n".join(items))

    def _table(self, node: LexborNode, mark: str) -> None:
        rows = node.css("tr")
        if node.css_first("table table") is not None or not any(len(_cells(r)) > 1 for r in rows):
            self._children(node, mark)  # for layout
            self._flush(mark)
            return
        caption = node.css_first("caption")
        if caption is not None:
            self._blocks.append(one_line(_visible(caption)))
        cells: list[list[str]] = []
        for row in rows:
            line: list[str] = []
            for cell in _cells(row):
                line.append(_visible(cell))
                span = cell.attributes.get("colspan") or ""
                if span.isdecimal() and 1 < int(span) <= 100:
                    line += [""] * (int(span) - 1)
            cells.append(line)
        self._blocks.append(table(cells))

    def _is_around(self, node: LexborNode) -> bool:
        if self._all:
            return False
        attributes = node.attributes
        if "hidden" in attributes or attributes.get("aria-hidden") == "true":
            return True
        tag = node.tag
        if tag in _AROUND_TAGS:
            return tag != "aside" or not _PART_OF_TEXT.search(attributes.get("class") or "")
        if tag in ("footer", "header"):
            return node.css_first("h1, h2") is None
        if attributes.get("role") in _ROLES:
            return True
        if tag in ("div", "section", "ul", "ol", "p", "span", "a", "table", "form"):
            names = f"{attributes.get('class') or ''} {attributes.get('id') or ''}"
            if len(names) < 500 and _AROUND.search(names) and node.css_first("h1, main") is None:
                return True
        return tag in ("ul", "ol", "div") and _is_links(node)


def _is_links(node: LexborNode) -> bool:
    """Whether a box is a list of links without sentences."""
    links = node.css("a")
    if len(links) < 3 or len(links) > 2000:
        return False
    if node.css_first("p, table, pre, h1, h2, h3") is not None:
        return False
    whole = len(one_line(_flat(node)))
    linked = [one_line(_flat(link)) for link in links]
    short = sum(map(len, linked)) / len(linked) < 6 * _FEW_WORDS
    return whole > 0 and sum(map(len, linked)) >= _LINK_SHARE * whole and short


def _cells(row: LexborNode) -> list[LexborNode]:
    cells = []
    child = row.first_child
    while child is not None:
        if child.tag in ("td", "th"):
            cells.append(child)
        child = child.next
    return cells


def _visible(node: LexborNode) -> str:
    """Text of a cell or heading, in a line, without what is dropped."""
    walk = _Walk(all_=True)
    walk._children(node, "")
    walk._flush("")
    return one_line(" ".join(walk._blocks)).rstrip("¶#").rstrip()
