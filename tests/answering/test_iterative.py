"""Retrieve, think, retrieve again, with a scripted model and a search over a few words."""

import pytest

from graphmem.answering.iterative import clues, ircot, merge_best, merge_mean, residual
from graphmem.errors import ConfigError, ModelError
from graphmem.llm.scripted import ScriptedChat
from graphmem.types import Hit, Passage, Ranking

PASSAGES = {
    "observatory": Passage("observatory", "The observatory was founded by Maja Lindqvist."),
    "lindqvist": Passage("lindqvist", "Maja Lindqvist was born in Turku."),
    "turku": Passage("turku", "Turku is a town in Finland."),
    "mars": Passage("mars", "Mars is red."),
}
QUESTION = "In which country was the founder of the observatory born?"


def rank(question, *names, scores=None, route="graph", entities=()):
    scores = scores or [1.0 / (i + 1) for i in range(len(names))]
    hits = tuple(Hit(i + 1, scores[i], PASSAGES[name]) for i, name in enumerate(names))
    return Ranking(question, route, hits, entities)


class Searching:
    """Finds passages that share a long word with the query."""

    def __init__(self):
        self.queries = []

    def __call__(self, query):
        self.queries.append(query)
        words = {word.strip(".?,").lower() for word in query.split() if len(word) > 4}
        found = [
            (sum(word in p.text.lower() for word in words), name) for name, p in PASSAGES.items()
        ]
        names = [name for count, name in sorted(found, key=lambda f: -f[0]) if count]
        return rank(query, *names[:2], entities=tuple(sorted(words)))


def ids(ranking):
    return [hit.passage.id for hit in ranking.hits]


def test_ircot_goes_on_until_the_answer_is_known():
    search = Searching()
    chat = ScriptedChat(
        [
            "The observatory was founded by Dr. Maja Lindqvist. She is an astronomer.",
            "Maja Lindqvist was born in Turku.",
            "Turku lies there. So the answer is: Finland.",
        ]
    )
    found = ircot(QUESTION, search, chat, steps=5)
    assert found.enough
    assert (
        found.queries
        == tuple(search.queries)
        == (
            QUESTION,
            "The observatory was founded by Dr. Maja Lindqvist.",
            "Maja Lindqvist was born in Turku.",
        )
    )
    assert set(ids(found.ranking)) <= {"observatory", "lindqvist", "turku"}
    assert found.ranking.question == QUESTION
    assert [hit.rank for hit in found.ranking.hits] == list(range(1, len(found.ranking.hits) + 1))
    assert "(nothing yet)" in chat.requests[0].messages[-1].content
    assert "born in Turku" in chat.requests[2].messages[-1].content


@pytest.mark.parametrize(
    ("said", "queries"),
    [
        (["One thing.", "Another thing.", "Third."], 3),
        (["One thing.", "One thing."], 2),
        (["", "never asked"], 1),
        (["<think>So the answer is</think>One thing.", ""], 2),
    ],
)
def test_ircot_ends(said, queries):
    found = ircot(QUESTION, Searching(), ScriptedChat(said), steps=2)
    assert len(found.queries) == queries
    assert not found.enough


def test_ircot_without_steps_is_a_search():
    found = ircot(QUESTION, Searching(), ScriptedChat([]), steps=0)
    assert ids(found.ranking) == ids(Searching()(QUESTION))
    for options in ({"steps": -1}, {"shown": 0}):
        with pytest.raises(ConfigError):
            ircot(QUESTION, Searching(), ScriptedChat([]), **options)
    with pytest.raises(ModelError):
        ircot(QUESTION, Searching(), ScriptedChat([]))


def test_residual_averages_scores_scaled_apart():
    rankings = {
        QUESTION: rank(QUESTION, "observatory", "lindqvist", "mars", scores=[9.0, 5.0, 1.0]),
        "Where was Maja Lindqvist born?": rank("", "lindqvist", "turku", scores=[0.4, 0.2]),
    }
    chat = ScriptedChat(['{"question": "Where was Maja Lindqvist born?"}'])
    found = residual(QUESTION, rankings.__getitem__, chat)
    assert [(hit.passage.id, hit.score) for hit in found.ranking.hits] == [
        ("lindqvist", pytest.approx(0.75)),
        ("observatory", pytest.approx(0.5)),
        ("mars", 0.0),
    ]
    assert found.queries == (QUESTION, "Where was Maja Lindqvist born?")


def test_residual_keeps_the_ranking_where_nothing_is_left_over():
    search = Searching()
    found = residual(QUESTION, search, ScriptedChat([f'{{"question": "{QUESTION.upper()}"}}']))
    assert search.queries == [QUESTION]
    assert found.queries == (QUESTION,)
    empty = residual("x", lambda q: rank(q), ScriptedChat([]))
    assert empty.ranking.hits == ()


def test_residual_takes_a_bare_question_and_refuses_other_shapes():
    found = residual(QUESTION, Searching(), ScriptedChat(["Where was Maja Lindqvist born?"]))
    assert found.queries[1] == "Where was Maja Lindqvist born?"
    with pytest.raises(ModelError, match="no residual question, asked twice"):
        residual(QUESTION, Searching(), ScriptedChat(['{"question": ', "```x\ny```"]))
    with pytest.raises(ConfigError):
        residual(QUESTION, Searching(), ScriptedChat([]), shown=0)


def test_clues_search_with_a_draft_too():
    search = Searching()
    found = clues(QUESTION, search, ScriptedChat(["<think>x</think>Turku is a town\nin Finland."]))
    assert search.queries == [QUESTION, "Turku is a town in Finland."]
    assert "turku" in ids(found.ranking)
    assert clues(QUESTION, Searching(), ScriptedChat([""])).queries == (QUESTION,)


def test_merging():
    first = rank("q", "observatory", "mars", scores=[0.5, 0.1], entities=("a", "b"))
    second = rank("r", "mars", "turku", scores=[80.0, 20.0], route="dense", entities=("b", "c"))
    best = merge_best([first, second])
    assert ids(best) == ["observatory", "mars"]  # ties go to the first search
    assert (best.question, best.route, best.entities) == ("q", "graph", ("a", "b", "c"))
    assert merge_mean([first, second]).hits[0].score == 0.5
    assert ids(merge_best([rank("q", "mars"), rank("r")])) == ["mars"]
    assert len(set(ids(merge_best([second, first, second])))) == 2
    with pytest.raises(ValueError, match="merge"):
        merge_best([])


def test_the_same_every_time():
    def run():
        chat = ScriptedChat(["Maja Lindqvist was born somewhere.", "Turku is in Finland.", ""])
        return ircot(QUESTION, Searching(), chat)

    assert run() == run()
