"""Conditions on metadata: what they mean, and that what is none is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphmem.errors import ConfigError
from graphmem.storage.filters import metadata_matcher, parse_condition, time_filter

FILM = {"year": 1979, "by": "Ridley Scott", "tags": ["film", "space"], "seen": True, "note": None}


@pytest.mark.parametrize(
    "where",
    [
        {},
        {"year": 1979, "by": "Ridley Scott"},
        {"year": "1979"},
        {"year": 1979.0},
        {"tags": "film"},
        {"tags": ["film", "space"]},
        {"seen": True},
        {"seen": "true"},
        {"note": None},
        {"year": {"$gte": 1979, "$lt": 1980}},
        {"year": {"$gt": "1978.5"}},
        {"by": {"$gt": "Q", "$lte": "Ridley Scott"}},
        {"tags": {"$gte": "space"}},
        {"year": {"$in": [1978, 1979]}},
        {"tags": {"$in": ["novel", "space"]}},
        {"by": {"$ne": "Ada"}},
        {"absent": {"$ne": 1}},
        {"absent": {"$nin": [1, 2]}},
        {"absent": {"$exists": False}},
        {"note": {"$exists": True}},
        {"$or": [{"year": 1}, {"by": {"$eq": "Ridley Scott"}}]},
        {"$and": [{"seen": True}, {"$not": {"tags": "novel"}}]},
    ],
)
def test_holds(where):
    assert metadata_matcher(where)(FILM)
    if where:
        assert not metadata_matcher({"$not": where})(FILM)


@pytest.mark.parametrize(
    "where",
    [
        {"year": 1979, "by": "Ada"},
        {"seen": 1},  # true is no number
        {"year": True},
        {"year": {"$gt": "many"}},
        {"by": {"$gt": 3}},
        {"seen": {"$gt": 0}},
        {"note": {"$lt": 9}},
        {"absent": {"$lt": 9}},
        {"absent": None},
        {"tags": {"$nin": ["film"]}},
        {"tags": {"$ne": "film"}},
        {"year": {"$gte": 1979, "$lt": 1979}},
        {"year": {"$in": []}},
        {"note": {"$exists": False}},
        {"tags": {"film": 1}},
    ],
)
def test_does_not_hold(where):
    assert not metadata_matcher(where)(FILM)


@pytest.mark.parametrize("year", [900, "900", "900.0", [1900, "900"]])
@pytest.mark.parametrize("bound", [1843, "1843", "1843.0"])
def test_numbers_are_compared_as_such_also_where_a_table_or_a_command_line_writes_them(year, bound):
    assert metadata_matcher({"year": {"$lt": bound}})({"year": year})
    assert not metadata_matcher({"year": {"$lt": bound}})({"year": "soon"})
    assert metadata_matcher({"year": {"$in": [900, "900.0"]}})({"year": year})
    assert not metadata_matcher({"year": bound})({"year": year})


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ([], "a filter is a mapping"),
        ({3: 1}, "by strings, not 3"),
        ({"year": {"$near": 3}}, r"no operator '\$near'"),
        ({"year": {"$gt": 3, "lt": 4}}, "no operator 'lt'"),
        ({"$nor": []}, r"no operator '\$nor' between filters"),
        ({"$or": {"a": 1}}, r"\$or takes a list"),
        ({"$and": []}, "one or more"),
        ({"$or": [{}]}, "would hold for everything"),
        ({"$not": {}}, "would hold for everything"),
        ({"a": {"$in": "abc"}}, r"\$in takes a list"),
        ({"a": {"$gt": [1]}}, "a number or a string"),
        ({"a": {"$gt": True}}, "a number or a string"),
        ({"a": {"$exists": 1}}, "true or false"),
    ],
)
def test_what_is_no_filter_is_refused_by_name(where, said):
    with pytest.raises(ConfigError, match=said):
        metadata_matcher(where)


def test_nested_without_end():
    where = {"a": 1}
    for _ in range(2000):
        where = {"$not": where}
    with pytest.raises(ConfigError, match="nested more than"):
        metadata_matcher(where)
    with pytest.raises(ConfigError, match="not JSON|nested more than"):
        parse_condition('{"$not":' * 3000 + '{"a":1}' + "}" * 3000)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("by=Ada=Bo", {"by": {"$eq": "Ada=Bo"}}),
        ("by!=", {"by": {"$ne": ""}}),
        ("year<=3", {"year": {"$lte": "3"}}),
        (" year < 3 ", {"year": {"$lt": "3"}}),
        ("by = 'Ada Byron'", {"by": {"$eq": "Ada Byron"}}),
        ('by="Ada" or "Bo', {"by": {"$eq": '"Ada" or "Bo'}}),
        ('by!=""', {"by": {"$ne": ""}}),
        ("by == Ada", {"by": {"$eq": "Ada"}}),
        ("a field=3", {"a field": {"$eq": "3"}}),
        ("[1]x=", {"[1]x": {"$eq": ""}}),  # a strange field is a field
        ('{"year": {"$exists": true}}', {"year": {"$exists": True}}),
    ],
)
def test_conditions_of_a_command_line(text, where):
    assert parse_condition(text) == where


@pytest.mark.parametrize("text", ["", "year", "=Ada", ">=3", "{", "{'a': 1}", '{"$x": 1}', "{}"])
def test_what_is_no_condition(text):
    with pytest.raises(ConfigError):
        parse_condition(text)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=4,
)


@given(st.dictionaries(st.text(max_size=2), values), st.dictionaries(st.text(max_size=2), values))
def test_any_mapping_is_a_filter_or_refused_and_any_metadata_can_be_asked(where, metadata):
    try:
        matches = metadata_matcher(where)
    except ConfigError:
        return
    assert matches(metadata) in (True, False)


@given(st.dictionaries(st.text(min_size=1, max_size=2).filter(lambda k: k[0] != "$"), values))
def test_metadata_fulfils_itself(metadata):
    flat = {k: v for k, v in metadata.items() if not isinstance(v, dict)}
    assert metadata_matcher(flat)(metadata)


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({"date": {"$since": "1835"}}, "cde"),
        ({"date": {"$since": "8 July 1835", "$as_of": "1840-01"}}, "cd"),
        ({"date": {"$as_of": "1834"}}, "ab"),
        ({"date": {"$as_of": "1833-06-05T12:00"}}, "ab"),
        ({"date": {"$as_of": "1833-06-04T23:59:59"}}, "a"),
        ({"$not": {"date": {"$since": "1835"}}}, "abf"),
    ],
)
def test_times_in_any_spelling(where, found):
    times = {
        "a": "1832", "b": "1833-06-05", "c": "8 July 1835", "d": ["soon", "1840-01-31T23:00Z"],
        "e": "1840-02-01", "f": "some day",
    }  # fmt: skip
    matches = metadata_matcher(where)
    assert "".join(name for name, value in times.items() if matches({"date": value})) == found


def test_a_passage_has_the_time_of_the_first_field_that_is_there():
    matches = metadata_matcher(time_filter(since="2020", as_of="2021"))
    assert matches({"time": "2020-05-01", "date": "1999"})
    assert not matches({"time": "1999", "date": "2020-05-01"})
    assert matches({"date": "2021-12-31T23:59"}) and not matches({"day": "2020"})
    assert metadata_matcher(time_filter(since="2020", fields=("day",)))({"day": "2020"})
    assert time_filter() is None
    with pytest.raises(ConfigError, match=r"\$as_of takes a time, e\.g\. 2023, .*not 'soon'"):
        time_filter(as_of="soon")
