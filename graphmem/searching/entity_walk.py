"""Searching by names: what preset default does between a question and its ranking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from graphmem.base.text import visible
from graphmem.config import RetrievalConfig
from graphmem.embedding.checked import checked_vectors
from graphmem.graph.entity_dictionary import TokenHasher
from graphmem.graph.entity_linking import (
    Linked,
    link_questions,
    one_letter_away,
    perhaps_mistyped,
    respellings,
)
from graphmem.graph.pagerank import entity_mass, passage_pagerank
from graphmem.graph.person_names import PersonName, around, person_name, persons_named
from graphmem.protocols import Embedder
from graphmem.searching.asked_again import again_evidence, next_names, queries
from graphmem.searching.candidates import Candidates, lists
from graphmem.searching.fact_evidence import FACT_FEATURES, fact_evidence
from graphmem.searching.hipporag import FactSearcher
from graphmem.searching.pair_evidence import pair_evidence
from graphmem.searching.searcher import NO_ROWS, Asked
from graphmem.searching.second_stage import (
    TreeEnsemble,
    load_model,
    mixed_log_odds,
    not_lifted,
    rerank,
)
from graphmem.searching.seeds import Seeds, choose_seeds, top_rows
from graphmem.searching.trace import NameWalk, SecondStage, Trace
from graphmem.searching.walk_evidence import subject_mentions, walk_evidence
from graphmem.searching.word_search import WordScorer
from graphmem.storage.snapshot import Snapshot
from graphmem.storage.weighted import weighed

_FEW = 32  # passages with a surname; one of more is borne by many
_PERSONS = 8  # looked at in a question; no one asks about more
_RESPELLED = 32  # words looked at in a question
_ENOUGH = 0.2
"""Share of what a question's words could reach from which the best passage by words counts fully.
One in other words, or in another language, shares little words with all passages (ranking.md)."""
_RARE = 10  # passages; a name of more is well known, and another word is another name
_NOTHING = np.zeros(0, dtype=np.float32)


class NameSearcher:
    """Searches the graph of names and passages of an index with P passages, many questions at once.

    What a question gets is the same alone, bit by bit.
    """

    def __init__(self, snapshot: Snapshot, embedder: Embedder, facts: FactSearcher | None) -> None:
        """Take the index, its embedder, and what searches its facts, where it has some."""
        self._snapshot = snapshot
        self._embedder = embedder
        self._facts = facts
        self._hasher = TokenHasher()
        self._words = WordScorer(snapshot)

    def trace(self, asked: Asked, config: RetrievalConfig) -> list[Trace]:
        """Walk for every question, and order the first passages by the second stage."""
        walked = self.walks(asked.questions, asked.cosines, config)
        found = [candidates for _, candidates in walked if candidates is not None]
        again = self._asked_again(found)
        both = [self._evidence(*each) for each in zip(found, again, strict=True)]
        evidence = [part for part, _ in both]
        # The trees see the candidates of all questions in one pass.
        judged = self.model.scores(np.concatenate(evidence)) if found else _NOTHING
        borders = np.cumsum([len(rows) for rows in evidence])[:-1]
        facts = self._fact_parts(found, again, config)
        second = zip(both, np.split(judged, borders), facts, strict=True) if found else iter(())
        traces = []
        for trace, candidates in walked:
            if candidates is not None and isinstance(trace.walk, NameWalk):
                (rows, names), part, stated = next(second)
                log_odds = mixed_log_odds(part, rows, config.specificity_half) + stated.sum(axis=1)
                if self._snapshot.prior is not None:
                    log_odds = not_lifted(log_odds, self._snapshot.prior[candidates.rows])
                stage = SecondStage(candidates.rows, rows, stated, names)
                trace = replace(
                    trace,
                    scores=rerank(candidates, log_odds, trace.scores),
                    walk=replace(trace.walk, stage=stage),
                )
            traces.append(trace)
        return traces

    def _asked_again(self, found: Sequence[Candidates]) -> list[NDArray[np.float32]]:
        """The `queries` of each question, all parts embedded at once, [1 + m, d] each.

        A question without a word outside its names asks nothing again: one vector of zeros.
        """
        labels, width = self._snapshot.labels, self._snapshot.vectors.width
        words = [c.asked for c in found if c.asked]
        rows = np.unique(np.concatenate([NO_ROWS, *(c.names for c in found)]))
        texts = [*words, *(labels[int(row)] for row in rows)]
        # Parts of queries: without the prompt that a question may get.
        vectors = checked_vectors(self._embedder, texts, "passage", width)
        asking, names = iter(vectors[: len(words)]), vectors[len(words) :]
        nothing = np.zeros((1, width), dtype=np.float32)
        return [
            queries(next(asking), names[np.searchsorted(rows, c.names)]) if c.asked else nothing
            for c in found
        ]

    def _fact_parts(
        self,
        found: Sequence[Candidates],
        asked: Sequence[NDArray[np.float32]],
        config: RetrievalConfig,
    ) -> list[NDArray[np.float32]]:
        """What facts add to the log-odds of all candidates, [n, len(FACT_FEATURES)] each."""
        parts = [np.zeros((c.rows.size, len(FACT_FEATURES)), dtype=np.float32) for c in found]
        if self._facts is None or not config.fact_weight:
            return parts
        for i, candidates in enumerate(found):
            if not candidates.asked:
                continue
            names = [self._snapshot.labels[int(row)] for row in candidates.question]
            evidence = fact_evidence(
                self._facts,
                candidates.rows,
                self._facts.phrases_named(names),
                candidates.question_weights,
                asked[i][0],
                config.damping,
            )
            parts[i] = np.float32(config.fact_weight) * evidence
        return parts

    def evidence(self, found: Sequence[Candidates]) -> list[NDArray[np.float32]]:
        """What the second stage knows of the candidates of each question, [n, len(FEATURES)].

        Raises:
            ModelError: The embedder failed.
        """
        asked = self._asked_again(found)
        return [self._evidence(*each)[0] for each in zip(found, asked, strict=True)]

    def _evidence(
        self, candidates: Candidates, asked: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Evidence [n, len(FEATURES)], and row of the next name for each, -1 where none, [n].

        Those that weigh 1 are judged among themselves: others are no measure for them.
        """
        evidence, names = self._judged(candidates, asked)
        if self._snapshot.prior is not None:
            whole = self._snapshot.prior[candidates.rows] >= 1
            if whole.any() and not whole.all():
                evidence[whole], names[whole] = self._judged(candidates.only(whole), asked)
        return evidence, names

    def _judged(
        self, candidates: Candidates, asked: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        graph, df = self._snapshot.graph, self._snapshot.df
        listed = lists(graph, df, candidates.rows)
        mentions = subject_mentions(graph, candidates, listed)
        walk = walk_evidence(graph, df, candidates, mentions)
        pairs = pair_evidence(candidates, mentions, listed)
        again, best = again_evidence(graph, df, candidates, asked)
        return np.hstack([walk, pairs, again]), np.append(candidates.names, -1)[best]

    def walks(
        self,
        questions: Sequence[str],
        cosines: NDArray[np.float32],
        config: RetrievalConfig,
    ) -> list[tuple[Trace, Candidates | None]]:
        """Walk for every question that names an entity; the others are ranked by similarity."""
        linked = self.link(questions)
        named = [place for place, found in enumerate(linked) if found.entities.size]
        parts = [questions[place] for place in named], [linked[place] for place in named]
        walked = iter(self._walk(*parts, cosines[named], config) if named else ())
        return [
            next(walked)
            if found.entities.size
            else (self._nameless(question, cosine, config), None)
            for question, cosine, found in zip(questions, cosines, linked, strict=True)
        ]

    def _nameless(
        self, question: str, cosine: NDArray[np.float32], config: RetrievalConfig
    ) -> Trace:
        (found,) = self._words.scores([question])
        enough = _ENOUGH * self._snapshot.lexical.reachable(question)
        words = _scaled(found, config.nameless_words, enough)
        scores = weighed(cosine + words, self._snapshot.prior)
        return Trace(question, "dense", scores, NO_ROWS)

    def _walk(
        self,
        questions: Sequence[str],
        linked: Sequence[Linked],
        cosines: NDArray[np.float32],
        config: RetrievalConfig,
    ) -> list[tuple[Trace, Candidates | None]]:
        """Walk for questions that all name an entity, one or more."""
        snapshot = self._snapshot
        lexical = self._words.scores(questions)
        seeds = [
            choose_seeds(found.entities, snapshot.df, cosine, words, config, snapshot.prior)
            for found, cosine, words in zip(linked, cosines, lexical, strict=True)
        ]
        rests = self._words.scores([found.rest for found in linked])
        preference = self._preference(cosines, rests, config)
        restart = np.zeros((snapshot.passages, len(questions)), dtype=np.float32)
        for column, seed in enumerate(seeds):
            restart[seed.passages, column] = seed.passage_weights
        mass = passage_pagerank(
            snapshot.graph,
            [seed.entities for seed in seeds],
            [seed.entity_weights for seed in seeds],
            restart,
            np.ascontiguousarray(preference.T),
            damping=config.damping,
            tolerance=config.tolerance,
        )
        walked = []
        for i, found in enumerate(linked):
            walk = NameWalk(seeds[i], preference[i])
            trace = Trace(questions[i], "graph", mass[i], found.entities, walk)
            candidates = None
            if config.candidates:
                candidates = self._candidates(
                    trace, seeds[i], found.rest, (cosines[i], lexical[i], rests[i]), config
                )
            walked.append((trace, candidates))
        return walked

    def _preference(
        self,
        cosines: NDArray[np.float32],
        rests: Sequence[NDArray[np.float32]],
        config: RetrievalConfig,
    ) -> NDArray[np.float32]:
        """How much the walk of every question likes each passage, [q, P].

        Args:
            cosines: With the questions, [q, P].
            rests: BM25 of their words outside their names, q of [P].
            config: Weights of both.
        """
        prior = self._snapshot.prior
        liking = np.float32(config.preference) * cosines
        for row, rest in zip(liking, rests, strict=True):
            if prior is not None:  # the best is that of passages that weigh; none counts for more
                rest = np.minimum(rest, weighed(rest, prior).max(initial=0))  # noqa: PLW2901
            row += _scaled(rest, config.word_preference)
        preference: NDArray[np.float32] = np.exp(liking)
        return preference

    def _candidates(
        self,
        trace: Trace,
        seeds: Seeds,
        rest: str,
        similarity: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
        config: RetrievalConfig,
    ) -> Candidates:
        """The first passages of a walk, with all that the second stage looks at.

        Args:
            trace: The walk.
            seeds: Where it started.
            rest: The question's words outside its names.
            similarity: Cosine with the question, its BM25, and that of these words, [P] each.
            config: Number of candidates, and how it walked.
        """
        snapshot, mass = self._snapshot, trace.scores
        cosine, lexical, words = similarity
        rows = top_rows(mass, config.candidates)
        rows = rows[mass[rows] > 0]
        subjects = snapshot.subjects[rows].astype(np.int64)
        about = np.flatnonzero(subjects >= 0)
        subject_mass = np.zeros(rows.size, dtype=np.float32)
        subject_mass[about] = entity_mass(
            snapshot.graph, subjects[about], mass, damping=config.damping
        )
        names, name_mass = NO_ROWS, _NOTHING
        if rest:
            names, name_mass = next_names(
                *(snapshot.graph, snapshot.df, rows, subjects, seeds.entities, mass),
                config.damping,
            )
        return Candidates(
            rows,
            mass[rows],
            cosine[rows],
            lexical[rows],
            snapshot.vectors.take(rows),
            subjects,
            subject_mass,
            seeds.entities,
            seeds.entity_weights,
            rest,
            words[rows],
            *snapshot.lexical.held(trace.question, rows),
            names,
            name_mass,
        )

    def link(self, questions: Sequence[str]) -> list[Linked]:
        """What every question names.

        A name of several words is known without its apostrophes and blanks too. A person by a form
        of the name that no text has is the only one whom it fits; another long name that no text
        has is read as the one near it.
        """
        questions = [self._respelled(visible(question)) for question in questions]
        questions = [self._with_persons(question) for question in questions]
        return [
            self._mistyped(question, found)
            for question, found in zip(questions, self._link(questions), strict=True)
        ]

    def _respelled(self, question: str) -> str:
        """The question with words so written that it names more by them, where there are such."""
        knows = partial(self._snapshot.dictionary.knows, self._hasher)
        for start, end, meant in reversed([*islice(respellings(question), _RESPELLED)]):
            for other in meant:
                longer = f"{question[:start]}{other}{question[end:]}"
                pieces = around(longer, start, start + len(other))
                several = not other.isalpha() and "'" not in other
                if (several and knows(other)) or any(map(knows, pieces)):
                    written = [question[start:end], *around(question, start, end)]
                    if not any(map(knows, written)) and self._names_more(question, longer):
                        question = longer
                    break
        return question

    def _names_more(self, question: str, other: str) -> bool:
        before, after = self._link([question, other])
        return bool(np.setdiff1d(after.entities, before.entities).size)

    def _with_persons(self, question: str) -> str:
        """The question with persons called as the corpus calls them, where one alone fits."""
        knows = partial(self._snapshot.dictionary.knows, self._hasher)
        for start, end, person in reversed([*islice(persons_named(question), _PERSONS)]):
            labels = [] if knows(question[start:end]) else self._bearers(person)
            if len(labels) == 1 and not any(map(knows, around(question, start, end))):
                question = f"{question[:start]}{labels[0]}{question[end:]}"
        return question

    def _bearers(self, person: PersonName) -> list[str]:
        """Names of entities that can be this person; names as a whole before addresses."""
        surname = person.surname.rpartition(" ")[2]
        snapshot = self._snapshot
        passages = np.flatnonzero(snapshot.lexical.scores(surname, snapshot.passages))
        if not 0 < passages.size <= _FEW:
            return []
        weights = snapshot.graph.weights
        there = np.zeros(snapshot.passages, dtype=np.bool_)
        there[passages] = True
        edges = np.flatnonzero(there[weights.indices])
        entities = np.unique(np.searchsorted(weights.indptr, edges, side="right") - 1)
        labels = [snapshot.labels[int(row)] for row in entities]
        fit = [n for n in labels if (other := person_name(n)) and other.fits(person)]
        return [name for name in fit if "@" not in name] or fit

    def _link(self, questions: Sequence[str]) -> list[Linked]:
        return link_questions(self._snapshot.dictionary, self._hasher, questions)

    def _mistyped(self, question: str, found: Linked) -> Linked:
        """What a question names with a word of it mended, where that leads to one rare name."""
        words = perhaps_mistyped(question)
        known = set(self._snapshot.lexical.known(words)) if words else set()
        for word in words:
            if word in known:
                continue
            meant = self._snapshot.lexical.known(one_letter_away(word))
            mended = self._link([question.replace(word, other) for other in meant])
            near = [m for m in mended if self._adds_a_rare_name(found, m, word.islower())]
            if len(near) == 1:
                return near[0]
        return found

    def _adds_a_rare_name(self, found: Linked, mended: Linked, whole: bool) -> bool:
        """Whether it does, and if `whole` one of several words, since a word can be any word."""
        added = np.setdiff1d(mended.entities, found.entities)
        if whole and not all(" " in self._snapshot.labels[int(row)] for row in added):
            return False
        return bool(added.size and self._snapshot.df[added].max() <= _RARE)

    @cached_property
    def model(self) -> TreeEnsemble:
        """The second stage's parameters."""
        return load_model(self._embedder.fingerprint)


def _scaled(scores: NDArray[np.float32], best: float, enough: float = 0.0) -> NDArray[np.float32]:
    """Scores >= 0 times what makes the greatest `best`, or `enough` where that is greater.

    All 0 where all are 0.
    """
    greatest = max(float(scores.max(initial=0)), enough)
    return scores * np.float32(best / greatest) if greatest > 0 else scores
