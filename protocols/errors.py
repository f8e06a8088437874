"""What can be wrong with a description of a format."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SchemaError(ValueError):
    """A schema that cannot be used; one line that names the schema, the field and the reason.

    Attributes:
      schema: name of the schema, or path of its file.
      field: path of the field or name of the role, "" when the whole schema is meant.
      reason: what is wrong with it.
    """

    def __init__(self, schema: str, field: str, reason: str) -> None:
        self.schema, self.field, self.reason = schema, field, reason
        super().__init__(f"schema {schema}: " + (f"field {field!r} {reason}" if field else reason))


def nearest(word: str, candidates: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the nearest valid spelling, or the list of candidates when none is near.

    >>> nearest("sequense", ["sequence", "ssrc"]), nearest("x", [])
    ("; did you mean 'sequence'?", '')
    """
    known = sorted(candidates)
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(known)}" if known else ""
