"""Text and values with everything replaced that identifies a machine, its owner or its place.

First `learn` everything that the bundle will hold, then ask for it redacted: `text`, `value` (JSON), `noun` (a msgspec
Struct). The same value gives the same token everywhere, two values never the same, and what is redacted already does
not change any more.
"""

from __future__ import annotations

import functools
import html
import itertools
import json
import re
import types
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar, Union, get_args, get_origin
from urllib.parse import quote

import msgspec

from harness.bundle.addresses import Addresses, eui64_of, mac_text
from harness.bundle.matches import Matches
from harness.bundle.names import KINDS, Found, Kind, names_in, names_in_text, tokens_in

T = TypeVar("T", bound=msgspec.Struct)

WHOLE_WORD_BELOW = 6
"""A shorter name is replaced where it stands as a word, a longer one wherever it stands."""


class Redactor:
    """Replaces names, addresses and identities, consistently over all files of a bundle."""

    def __init__(self) -> None:
        self.addresses = Addresses()
        self._names: dict[str, Found] = {}
        self._tokens: dict[str, str] = {}
        self._taken: set[str] = set()
        self._matches = Matches(self.addresses)
        self._pattern: re.Pattern[str] | None = None
        self._literal: dict[str, str] = {}
        self._cached: Callable[[str], str] = self._replace

    def learn(self, value: Any, names: Iterable[Found] = (), *, has_telling_keys: bool = True) -> None:
        """Take note of what a JSON value or a text holds.

        Args:
          value: the JSON value.
          names: what else is known to be a name.
          has_telling_keys: whether a key "host" means a machine's name; in a scenario it means a role, which stays.
        """
        self._learn_names(names)
        if has_telling_keys:
            self._learn_names(names_in(value))
        for text in _strings(value):
            self._learn_names(names_in_text(text))
            self._taken.update(tokens_in(text))
            self._matches.learn(text)
        self._pattern = None

    def _learn_names(self, names: Iterable[Found]) -> None:
        for kind, name in names:
            self._names.setdefault(name.casefold(), (kind, name))

    def text(self, text: str) -> str:
        """Return a text with everything replaced."""
        if self._pattern is None:
            self._fix()
        return self._cached(text)

    def value(self, value: Any) -> Any:
        """Return a JSON value with everything replaced in its texts and its keys."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(key)): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        if isinstance(value, int) and not isinstance(value, bool) and str(value) in self._names:
            return self.text(str(value))
        return value

    def noun(self, noun: T) -> T:
        """Return a Struct with everything replaced but its vocabulary, the fields of a Literal type."""
        fields = msgspec.structs.fields(noun)
        changed = {field.name: self._field(getattr(noun, field.name), field.type) for field in fields}
        return msgspec.structs.replace(noun, **changed)

    def _field(self, value: Any, kind: Any) -> Any:
        if isinstance(value, msgspec.Struct):
            return self.noun(value)
        if isinstance(value, list):
            inner = next(iter(get_args(kind)), Any)
            return [self._field(item, inner) for item in value] if value and not _is_number(value[0]) else value
        if isinstance(value, dict):
            return self.value(value)
        return self.text(value) if isinstance(value, str) and not _is_vocabulary(kind) else value

    def mapping(self) -> dict[str, dict[str, str]]:
        """Return what was replaced by what, by kind: the only way back, which stays with the user."""
        if self._pattern is None:
            self._fix()
        names: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}
        for folded, token in self._tokens.items():
            kind, name = self._names[folded]
            names[kind][name] = token
        return {**names, **self.addresses.replaced(), "uuid": self._matches.uuids()}

    def _fix(self) -> None:
        """Give every name its token, and compile the search for names and for other spellings of known addresses."""
        counters = {kind: itertools.count(1) for kind in KINDS}
        for folded, (kind, _) in self._names.items():
            if folded not in self._tokens:
                self._tokens[folded] = self._next_token(kind, counters[kind])
        self._literal = {token: token for token in self._tokens.values()}
        anywhere: list[str] = []
        words: list[str] = []
        for folded, token in self._tokens.items():
            for spelling in _spellings(self._names[folded][1]):
                if self._literal.setdefault(spelling.casefold(), token) == token:
                    (words if len(spelling) < WHOLE_WORD_BELOW else anywhere).append(spelling)
        for spelling, token in self._address_spellings():
            self._literal.setdefault(spelling, token)
            anywhere.append(spelling)
        parts = [rf"(?<![A-Za-z0-9])(?:{_any_of(set(self._tokens.values()))})(?![A-Za-z0-9])"] if self._tokens else []
        parts += [_any_of(anywhere)] if anywhere else []
        parts += [rf"(?<![A-Za-z0-9])(?:{_any_of(words)})(?![A-Za-z0-9])"] if words else []
        name = "|".join(parts) or r"(?!)"
        self._pattern = re.compile(f"(?P<name>{name})|{self._matches.pattern}", re.IGNORECASE)
        self._cached = functools.lru_cache(maxsize=65_536)(self._replace)

    def _next_token(self, kind: Kind, numbers: Iterable[int]) -> str:
        candidates = (f"{kind}-{number}" for number in numbers)
        used = {*self._taken, *self._names, *self._tokens.values()}
        return next(token for token in candidates if token not in used)

    def _address_spellings(self) -> list[tuple[str, str]]:
        """Return spellings of known hardware addresses that no pattern would recognise: without separators, EUI-64."""
        found = []
        for before, after in self.addresses.known("mac"):
            bare = tuple(mac_text(number).replace(":", "") for number in (before, after))
            forms = [bare]
            for flip in (0, 0x02 << 56):
                eui = [f"{eui64_of(number) ^ flip:016x}" for number in (before, after)]
                forms.append((eui[0], eui[1]))
                forms.append(
                    (f"{eui[0][:6]}.{eui[0][6:10]}.{eui[0][10:]}", f"{eui[1][:6]}.{eui[1][6:10]}.{eui[1][10:]}")
                )
            found += [(form[0], form[1]) for form in forms]
        return found

    def _replace(self, text: str) -> str:
        assert self._pattern is not None
        return self._pattern.sub(self._one, text)

    def _one(self, match: re.Match[str]) -> str:
        if match.lastgroup == "name":
            found = match.group()
            return self._literal.get(found.casefold(), found)
        return self._matches.replace(match)


def _any_of(texts: Iterable[str]) -> str:
    return "|".join(re.escape(text) for text in sorted(set(texts), key=lambda text: (-len(text), text)))


def _spellings(name: str) -> set[str]:
    """Return how a name may stand in a text: as it is, escaped for JSON, HTML, a URL, and as hexadecimal bytes."""
    quoted = json.dumps(name)[1:-1], json.dumps(name, ensure_ascii=False)[1:-1]
    found = {name, *quoted, html.escape(name), quote(name), repr(name)[1:-1], name.replace("'", "'\"'\"'")}
    data = name.encode("utf-8", "replace")
    return found | ({data.hex(), data.hex(":")} if len(data) >= WHOLE_WORD_BELOW else set())


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)


def _is_number(value: object) -> bool:
    return value is None or isinstance(value, int | float)


def _is_vocabulary(kind: Any) -> bool:
    if get_origin(kind) in (Union, types.UnionType):
        return any(_is_vocabulary(part) for part in get_args(kind))
    return get_origin(kind) is Literal
