"""A number that a caller writes is read, or is none; it never breaks anything."""

import pytest

from common.numbers import natural_number


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("7", 7), ("007", 7), (str(2**63 - 1), 2**63 - 1)]
)
def test_plain_digits_are_a_number(text, number):
    assert natural_number(text) == number


@pytest.mark.parametrize(
    "text",
    ["", "-1", "+1", " 1", "1_0", "1.0", "1e3", "٣", "²", "x", str(2**63), "9" * 5000, "0" * 5000],
)
def test_nothing_else_is(text):
    assert natural_number(text) is None


def test_the_caller_says_how_large_it_may_be():
    assert (natural_number("50", most=50), natural_number("51", most=50)) == (50, None)
