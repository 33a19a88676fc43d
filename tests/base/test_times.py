"""Times in many spellings."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmem.base.times import time_span

DAY = (datetime(2023, 5, 8, tzinfo=UTC), datetime(2023, 5, 9, tzinfo=UTC))
TEN = datetime(2023, 5, 8, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        "2023-05-08",
        "20230508",
        "8 May 2023",
        "May 8th, 2023",
        "1:56 pm on 8 May, 2023",
        " 2023-05-08 ",
    ],
)
def test_days(written):
    assert time_span(written) == DAY


@pytest.mark.parametrize(
    "written",
    [
        "2023-05-08T10:00:00Z",
        "2023-05-08 10:00",
        "2023-05-08T12:00:00+02:00",
        "Mon, 8 May 2023 10:00:00 +0000",
        "Mon, 08 May 2023 06:00:00 -0400 (EDT)",
        1683540000,
        1683540000.0,
        1683540000000,
    ],
)
def test_instants(written):
    start, end = time_span(written)
    assert start == TEN < end < DAY[1]


def test_years_and_months_are_whole():
    december = time_span("1999-12")
    assert december == (datetime(1999, 12, 1, tzinfo=UTC), datetime(2000, 1, 1, tzinfo=UTC))
    assert time_span("1999") == (datetime(1999, 1, 1, tzinfo=UTC), december[1])


@pytest.mark.parametrize(
    "written",
    [
        *(
            "",
            "soon",
            "03/04/2023",
            "from 8 May 2023 to 9 May 2023",
            "2023-13",
            "2023-02-30",
            "0000",
        ),
        *("9999", "9999-12", "9999-12-31", "x" * 10_000, "8 May 2023 " * 20),
        *(None, True, 2023, 7, float("nan"), float("inf"), 1e300, [], {}),
    ],
)
def test_what_is_no_time(written):
    assert time_span(written) is None


@settings(max_examples=300)
@given(
    st.text(max_size=40)
    | st.text("0123456789-/:TZ+ Mayof,", max_size=40)
    | st.floats()
    | st.integers()
)
def test_anything_is_a_span_or_nothing(written):
    span = time_span(written)
    assert span is None or span[0] < span[1]
