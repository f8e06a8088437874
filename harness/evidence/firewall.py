"""The packet filter of Linux: nftables' rules as JSON, or iptables' where nft is not installed."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from typing import Any

from harness.evidence.probe import answer, as_json, command, path_of

_VOLATILE = ("counter", "handle", "expires", "index", "used")
_LIMIT_NS = 2_000_000_000


def firewall() -> dict[str, Any]:
    """Return the ruleset with its counters: {"nft": [...]}, with "iptables" and "ip6tables" where nft is missing.

    Reading it takes CAP_NET_ADMIN; without, the reason stands in its place.
    """
    if path_of("nft") is not None:
        return {"nft": answer(lambda: as_json(command("nft", "-j", "list", "ruleset", limit_ns=_LIMIT_NS))["nftables"])}
    found: dict[str, Any] = {"nft": {"error": "nft is not installed"}}
    for name in ("iptables", "ip6tables"):
        found[name] = answer(functools.partial(_saved, f"{name}-save"))
    return found


def _saved(name: str) -> list[str]:
    return command(name, "-c", limit_ns=_LIMIT_NS).splitlines()


def rule_texts(ruleset: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield what the ruleset holds, without what changes by itself: pairs of the thing and its own text.

    A chain's text is its hook and policy, a set's its elements, a rule's its words with "" as text; a rule that stands
    there twice gets a number.

    >>> rule = {"family": "inet", "table": "t", "chain": "in", "handle": 4, "expr": [{"drop": None}]}
    >>> list(rule_texts([{"rule": rule}, {"rule": rule}]))
    [('rule in inet t in: drop', ''), ('rule in inet t in: drop (2)', '')]
    """
    seen: Counter[str] = Counter()
    for item in ruleset:
        for what, entry in item.items():
            place = " ".join(str(entry[key]) for key in ("family", "table", "chain") if key in entry)
            if what == "rule":
                words = " ".join(_words(part) for part in entry.get("expr", []) if _is_lasting(part))
                text = f"rule in {place}: {words}"
                seen[text] += 1
                yield (text if seen[text] == 1 else f"{text} ({seen[text]})"), ""
            elif what != "metainfo":
                told = {key: entry[key] for key in ("type", "hook", "prio", "policy", "elem") if key in entry}
                yield f"{what} {place} {entry.get('name', '')}".rstrip(), _words(told)


def rule_counters(ruleset: list[dict[str, Any]]) -> dict[str, int]:
    """Return the packets that each rule with a counter has met, by place and handle, and each named counter's.

    >>> rule = {"family": "inet", "table": "t", "chain": "in", "handle": 4, "expr": [{"counter": {"packets": 7}}]}
    >>> rule_counters([{"rule": rule}])
    {'inet t in 4': 7}
    """
    found = {}
    for item in ruleset:
        for what, entry in item.items():
            place = " ".join(str(entry[key]) for key in ("family", "table", "chain") if key in entry)
            if what == "counter":
                found[f"{place} {entry['name']}"] = int(entry["packets"])
            for part in entry.get("expr", []) if what == "rule" else []:
                if isinstance(part.get("counter"), dict):
                    found[f"{place} {entry['handle']}"] = int(part["counter"]["packets"])
    return found


def _is_lasting(part: object) -> bool:
    return not (isinstance(part, dict) and set(part) <= set(_VOLATILE))


def _words(value: object) -> str:
    """Return a part of nftables' JSON as words, close to nft's own language."""
    if isinstance(value, dict):
        if set(value) == {"match"}:
            match = value["match"]
            return f"{_words(match['left'])} {match.get('op', '==')} {_words(match['right'])}"
        if set(value) == {"payload"} and "field" in value["payload"]:
            return f"{value['payload'].get('protocol', '')} {value['payload']['field']}"
        if set(value) == {"meta"} and isinstance(value["meta"], dict):
            return f"meta {value['meta'].get('key', '')}"
        kept = {key: each for key, each in value.items() if key not in _VOLATILE}
        return " ".join(key if each is None else f"{key} {_words(each)}" for key, each in kept.items())
    if isinstance(value, list):
        return "{" + ", ".join(_words(each) for each in value) + "}"
    return str(value)
