"""Conditions on metadata: which passages a search, or a deletion, is about.

A filter is a mapping, of which all entries must hold:

    {"author": "Ada"}                            the field has this value
    {"year": {"$gte": 1970, "$lt": 1980}}        in a range; also $gt, $lte, $eq, $ne
    {"tag": {"$in": ["film", "play"]}}           one of several; also $nin
    {"year": {"$exists": True}}                  the field is there
    {"date": {"$since": "2023-05"}}              not over before then; also $as_of: begun by then
    {"$or": [{...}, {...}]}                      also $and, and {"$not": {...}}

A field that holds a list has a value, or is in a range, when one of its items is. A string given is
also the number, true, false or null that is written so, since a command line knows strings alone,
and a number given the string that is written so, since a table does. In ranges strings that are
written like numbers are numbers; others are compared with strings alone, by code point, which for
dates in ISO 8601 is by time. What a passage does not have is in no range and unequal to everything.
Times are read in any spelling by $since and $as_of, as `graphmem.base.times` says: a year, a month
or a day is all of it. What is no time is neither.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import regex

from graphmem.base.times import Span, time_span
from graphmem.errors import ConfigError

Filter = Mapping[str, Any]
Matcher = Callable[[Mapping[str, Any]], bool]

_ORDER: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
_OF_TIME: Final[Mapping[str, Callable[[Span, Span], bool]]] = {
    "$since": lambda found, given: found[1] > given[0],
    "$as_of": lambda found, given: found[0] < given[1],
}
_OPERATORS: Final = (*_ORDER, *_OF_TIME, "$eq", "$ne", "$in", "$nin", "$exists")
TIME_FIELDS: Final = ("time", "date")
"""Where a passage's time is sought: in the first of them that it has."""
_JOINING: Final = ("$and", "$or", "$not")
_WRITTEN: Final = {
    "=": "$eq",
    "==": "$eq",
    "!=": "$ne",
    ">": "$gt",
    ">=": "$gte",
    "<": "$lt",
    "<=": "$lte",
}
_CONDITION = regex.compile(
    r"\s*+([^=!<>]*[^=!<>\s])\s*+(==?|!=|>=|<=|>|<)\s*+(?|([\"'])(.*)\3|()(.*?))\s*",
    regex.DOTALL,
)
_NUMBER = regex.compile(r"\s*[+-]?[0-9]{1,300}(?:\.[0-9]{1,300})?(?:[eE][+-]?[0-9]{1,3})?\s*")
_DEEPEST = 50
_MISSING: Final = object()


def metadata_matcher(where: Filter) -> Matcher:
    """Whether metadata fulfils a filter.

    Raises:
        ConfigError: It is no filter; names the part that is wrong.

    >>> matches = metadata_matcher({"year": "1979", "tags": "film"})
    >>> matches({"year": 1979, "tags": ["film", "space"]}), matches({"year": 1979})
    (True, False)
    >>> matches = metadata_matcher({"$or": [{"year": {"$lt": 1970}}, {"$not": {"by": "Ada"}}]})
    >>> matches({"year": 1969, "by": "Ada"}), matches({"by": "Ada"}), matches({})
    (True, False, True)
    """
    return _all_of(where, 0)


def parse_condition(text: str) -> Filter:
    """The filter that a command line writes: FIELD=VALUE, FIELD>=VALUE, or JSON.

    Raises:
        ConfigError: It is none.

    >>> parse_condition("year>=1970"), parse_condition("by!=Ada")
    ({'year': {'$gte': '1970'}}, {'by': {'$ne': 'Ada'}})
    >>> parse_condition('{"$or": [{"by": "Ada"}, {"by": "Bo"}]}')
    {'$or': [{'by': 'Ada'}, {'by': 'Bo'}]}
    """
    if text.lstrip().startswith("{"):
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"filter {text!r}: not JSON ({error})") from error
        if not parsed:
            raise ConfigError(
                f"filter {text!r}: without a condition it would hold for every passage; "
                'name a field and its value, e.g. {"author": "Ada"}'
            )
        metadata_matcher(parsed)
        return dict(parsed)
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise ConfigError(
            f"filter {text!r}: expected FIELD=VALUE, FIELD!=VALUE, FIELD>=VALUE, or JSON, "
            "e.g. author=Ada"
        )
    field, sign, _, value = found.groups()
    return {field: {_WRITTEN[sign]: value}}


def time_filter(
    since: str | None = None, as_of: str | None = None, fields: Sequence[str] = TIME_FIELDS
) -> Filter | None:
    """The filter of a span of time: from a time on, up to a time, or both; None where neither.

    Args:
        since: A time in any spelling; None is the beginning.
        as_of: A time in any spelling; None is the end.
        fields: Where a passage's time is sought: in the first of them that it has.

    Raises:
        ConfigError: One is no time.

    >>> matches = metadata_matcher(time_filter(since="May 3, 2023", as_of="2024"))
    >>> matches({"time": "2024-02-29T12:00Z"}), matches({"date": "2023-05-03"}), matches({})
    (True, True, False)
    """
    given = {"$since": since, "$as_of": as_of}
    conditions = {name: value for name, value in given.items() if value is not None}
    if not conditions:
        return None
    found: dict[str, Any] = {fields[-1]: conditions}
    for field in reversed(fields[:-1]):
        without = {"$and": [{field: {"$exists": False}}, found]}
        found = {"$or": [{field: conditions}, without]}
    metadata_matcher(found)
    return found


def _all_of(where: Any, depth: int) -> Matcher:
    if not isinstance(where, Mapping):
        raise ConfigError(f"a filter is a mapping of fields to values, not {where!r}")
    if depth > _DEEPEST:
        raise ConfigError(f"the filter is nested more than {_DEEPEST} times")
    if depth and not where:
        raise ConfigError("a filter within a filter is empty, which would hold for everything")
    parts = [_entry(key, value, depth) for key, value in where.items()]
    return lambda metadata: all(part(metadata) for part in parts)


def _entry(key: Any, value: Any, depth: int) -> Matcher:
    if not isinstance(key, str):
        raise ConfigError(f"a filter names fields by strings, not {key!r}")
    if key == "$not":
        refused = _all_of(value, depth + 1)
        return lambda metadata: not refused(metadata)
    if key in _JOINING:
        if not isinstance(value, Sequence) or isinstance(value, str) or not value:
            raise ConfigError(f"{key} takes a list of filters, one or more, not {value!r}")
        parts = [_all_of(part, depth + 1) for part in value]
        join = all if key == "$and" else any
        return lambda metadata: join(part(metadata) for part in parts)
    if key.startswith("$"):
        raise ConfigError(f"no operator {key!r} between filters: {', '.join(_JOINING)}")
    if isinstance(value, Mapping) and any(str(name).startswith("$") for name in value):
        conditions = [_condition(name, given) for name, given in value.items()]
    else:
        conditions = [_condition("$eq", value)]
    return lambda metadata: all(holds(metadata.get(key, _MISSING)) for holds in conditions)


def _condition(name: str, given: Any) -> Callable[[Any], bool]:
    """What must be true of a field, or of `_MISSING`."""
    if name not in _OPERATORS:
        raise ConfigError(f"no operator {name!r} in a filter: {', '.join(_OPERATORS)}")
    if name == "$exists":
        if not isinstance(given, bool):
            raise ConfigError(f"$exists takes true or false, not {given!r}")
        return lambda found: (found is not _MISSING) is given
    if name in ("$in", "$nin"):
        if not isinstance(given, Sequence) or isinstance(given, str):
            raise ConfigError(f"{name} takes a list of values, not {given!r}")
        return lambda found: any(_is_value(found, value) for value in given) is (name == "$in")
    if name in _OF_TIME:
        span = time_span(given)
        if span is None:
            raise ConfigError(
                f"{name} takes a time, e.g. 2023, 2023-05-08, 2023-05-08T10:00Z or 'May 8, 2023', "
                f"not {given!r}"
            )
        return lambda found: _in_time(found, _OF_TIME[name], span)
    if name in _ORDER:
        if isinstance(given, bool) or not isinstance(given, int | float | str):
            raise ConfigError(f"{name} takes a number or a string, not {given!r}")
        return lambda found: _in_order(found, _ORDER[name], given)
    return lambda found: _is_value(found, given) is (name == "$eq")


def _is_value(found: Any, value: Any) -> bool:
    if found is _MISSING:
        return False
    if isinstance(found, list) and any(_is_value(item, value) for item in found):
        return True
    if isinstance(found, bool) != isinstance(value, bool) and not isinstance(value, str):
        return False  # True equals 1 in Python
    if isinstance(found, str) and isinstance(value, int | float):
        return _as_written(value) == found
    return bool(found == value) or (isinstance(value, str) and _as_written(found) == value)


def _as_written(found: Any) -> str:
    return "" if isinstance(found, str | list | dict) else json.dumps(found)


def _in_time(found: Any, order: Callable[[Span, Span], bool], bound: Span) -> bool:
    if isinstance(found, list):
        return any(_in_time(item, order, bound) for item in found)
    span = time_span(found)
    return span is not None and order(span, bound)


def _in_order(found: Any, order: Callable[[Any, Any], bool], bound: float | str) -> bool:
    if isinstance(found, list):
        return any(_in_order(item, order, bound) for item in found)
    if isinstance(found, bool) or not isinstance(found, int | float | str):
        return False
    numbers = _number(found), _number(bound)
    if None not in numbers:
        return order(*numbers)
    return isinstance(found, str) and isinstance(bound, str) and order(found, bound)


def _number(value: float | str) -> float | None:
    """The number that it is or is written like, None where it is a word."""
    if not isinstance(value, str):
        return value
    if not _NUMBER.fullmatch(value):
        return None
    return int(value) if value.strip().lstrip("+-").isdigit() else float(value)
