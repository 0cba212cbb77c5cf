"""Reads whole numbers out of what a caller wrote; nobody else does, so that none is too long."""

MAX_KEY = 2**63 - 1  # of a row; what fits into a column of the database


def natural_number(text: str, *, most: int = MAX_KEY) -> int | None:
    """Return the number from 0 to `most` that a text is; None for every other text.

    Only plain digits count: `int` takes spaces, signs, underlines and the digits of all scripts as
    well, needs a time that grows with the square of the length, and fails with more than 4,300
    digits.
    """
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(most)):
        return None
    number = int(text)
    return number if number <= most else None
