"""What a question can name persons by: every question is read, whatever its capitals are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphmem.graph.person_names import persons_named

PIECES = ["The", "Who", "You", "And", "Me", "In", "Again", "Out", "Dr.", "Jr.", "III", "M.D.", "A."]
PIECES += ["Ada", "Byron", "Byron's", "van", "O'Neil", "a.b", '"Bo"', "(Bo)", ",", ".", "-", "’s"]


@pytest.mark.parametrize(
    "question",
    [
        "Which songs are by The Who?",
        "Which film came out earlier, In Again, Out Again or In?",
        "Who performed You Are What I Am?",
    ],
)
def test_words_that_questions_are_made_of_name_nobody(question):
    assert [question[a:b] for a, b, _ in persons_named(question)] == []


@given(st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from([" ", "", "\n"])), max_size=12))
def test_spans_are_pieces_of_the_question_that_name_someone(parts):
    question = "".join(piece + gap for piece, gap in parts)

    for start, end, person in persons_named(question):
        assert question[start:end].strip()
        assert person.surname
