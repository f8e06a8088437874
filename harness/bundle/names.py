"""Names that identify somebody, found where a document says that something is one: by key, or by the words around it.

What a name is has to be said somewhere once; then it is replaced wherever it stands. Names that half of all machines
bear identify nobody and stay: root, admin, localhost, raspberrypi and their like.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

Kind = Literal["host", "user", "domain", "ssid", "serial"]
KINDS: tuple[Kind, ...] = ("host", "user", "domain", "ssid", "serial")

_KEYS: dict[str, Kind] = {
    **dict.fromkeys(
        ("host", "hostname", "node", "nodename", "fqdn", "computername", "localhostname", "machinename", "netbiosname"),
        "host",
    ),
    **dict.fromkeys(
        ("user", "username", "login", "loginname", "logname", "sudouser", "fullname", "realname"),
        "user",
    ),
    **dict.fromkeys(("domainname", "searchdomain", "searchdomains", "dnsdomain"), "domain"),
    **dict.fromkeys(("ssid", "essid", "wifissid", "wifinetwork", "currentnetwork", "currentwifinetwork"), "ssid"),
    **dict.fromkeys(("assettag", "udid"), "serial"),
}
"""What the value of a key is, the key in lower case without signs; any key that ends in "serial" or "serialnumber" too.
"""

_STAY = {
    "", "none", "(none)", "null", "n/a", "na", "unknown", "default", "default string", "0", "-", "?", "false", "true",
    "to be filled by o.e.m.", "not specified", "system serial number", "hidden", "<redacted>", "redacted", "any",
    "off/any", "localhost", "localhost.localdomain", "localhost6", "local", "localdomain", "lan", "home", "home.arpa",
    "internal", "workgroup", "debian", "ubuntu", "fedora", "linux", "macos", "windows", "raspberrypi", "mac", "pc",
    "root", "admin", "administrator", "user", "users", "nobody", "daemon", "system", "guest", "test", "pi", "vagrant",
    "ec2-user", "www-data", "runner", "shared", "public", "all users", "default user", "linuxbrew", "nt authority",
    "local service", "network service", "git", "systemd", "container", "harness", "multicast-harness", "probe",
}  # fmt: skip

_WORDS: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile(r"(?:/home/|/Users/|/var/home/|/export/home/)([^/\s\"':,;<>|]+)"), "user"),
    (re.compile(r"[A-Za-z]:[\\/]+Users[\\/]+([^\\/\"':,;<>|\r\n]+)", re.IGNORECASE), "user"),
    (re.compile(r"\buser(?:name)?\s*=\s*[\"']([^\"'\r\n]+)[\"']"), "user"),
    (re.compile(r"\b(?:LOGNAME|USER|USERNAME|SUDO_USER)=([^\s\"';]+)"), "user"),
    (re.compile(r"\b(?:HOSTNAME|COMPUTERNAME)=([^\s\"';]+)"), "host"),
    (re.compile(r"\b(?:Computer Name|Host ?name|Local ?Host ?Name|Static hostname):[ \t]*([^\r\n]+)", re.I), "host"),
    (re.compile(r"\baddress\s*=\s*[\"']([A-Za-z][^\"'\s]*)[\"']"), "host"),
    (re.compile(r"\bE?SSID[ \t]*[:=][ \t]*\"([^\"\r\n]+)\""), "ssid"),
    (re.compile(r"^[ \t]*E?SSID(?: name)?[ \t]*[:=][ \t]*([^\"\s][^\r\n]*?)[ \t]*$", re.M | re.I), "ssid"),
    (re.compile(r"\bCurrent Wi-Fi Network:[ \t]*([^\r\n]+)"), "ssid"),
    (re.compile(r"\bSerial(?: Number)?(?: \(system\))?[ \t]*[:=][ \t]*\"?([^\s\"]+)", re.I), "serial"),
    (re.compile(r"\"?IOPlatformSerialNumber\"?\s*=\s*\"([^\"]+)\""), "serial"),
)
_AT = re.compile(r"(?<![\w.@-])([A-Za-z_][\w.-]*)@([A-Za-z][\w.-]*)(?![\w@-])")
_TERMINAL = re.compile(r"pts|notty|console|tty\w*")
_UNITS = (".service", ".socket", ".slice", ".timer", ".scope", ".mount", ".target")
_TOKEN = re.compile(rf"(?<![A-Za-z0-9])({'|'.join(KINDS)})-(\d{{1,9}})(?![A-Za-z0-9])", re.I)
_LONGEST = 255

Found = tuple[Kind, str]


def names_in_text(text: str) -> Iterator[Found]:
    """Yield the names that a text says to be ones.

    >>> list(names_in_text("ssh mia@desk-7.studio.example in /Users/mia/runs"))
    [('user', 'mia'), ('user', 'mia'), ('host', 'desk-7'), ('domain', 'studio.example')]
    """
    for pattern, kind in _WORDS:
        for match in pattern.finditer(text):
            yield from named(kind, match.group(1))
    for match in _AT.finditer(text):
        user, host = match.group(1), match.group(2).rstrip(".")
        if not host.endswith(_UNITS):
            yield from named("user", user)
        if not host.endswith(_UNITS) and not _TERMINAL.fullmatch(host):
            yield from named("host", host)


def names_in(value: Any, key: str = "") -> Iterator[Found]:
    r"""Yield the names in a JSON value, keys included.

    >>> list(names_in({"launch": {"user": "DESK-7\\mia"}, "wifi": [{"SSID": "Mia's"}]}))
    [('host', 'DESK-7'), ('user', 'mia'), ('ssid', "Mia's")]
    """
    if isinstance(value, dict):
        for name, item in value.items():
            yield from names_in_text(str(name))
            yield from names_in(item, str(name))
    elif isinstance(value, list):
        for item in value:
            yield from names_in(item, key)
    elif isinstance(value, str):
        kind = _kind_of(key)
        if kind is not None:
            yield from named(kind, value)
        yield from names_in_text(value)
    elif isinstance(value, int) and not isinstance(value, bool) and _kind_of(key) == "serial":
        yield from named("serial", str(value))


def _kind_of(key: str) -> Kind | None:
    bare = re.sub(r"[^a-z0-9]", "", key.lower())
    return "serial" if bare.endswith(("serial", "serialnumber")) else _KEYS.get(bare)


def named(kind: Kind, text: str) -> Iterator[Found]:
    r"""Yield the parts of a name that identify: of DOMAIN\user both, of a full host name its first label and the rest.

    Addresses are no names; names that everybody uses are left out.
    """
    name = text.strip().strip("\0")
    if not name or len(name) > _LONGEST or "\n" in name:
        return
    if kind == "user" and "\\" in name:
        host, _, name = name.rpartition("\\")
        yield from named("host", host)
    if kind == "host":
        if re.fullmatch(r"[\d.]+|[0-9A-Fa-f:.%\[\]]*:[0-9A-Fa-f:.%\w\[\]]*", name):
            return
        name, _, domain = name.rstrip(".").partition(".")
    else:
        domain = ""
    if name.lower() not in _STAY:
        yield kind, name
    if domain:
        yield from named("domain", domain)


def tokens_in(text: str) -> Iterator[str]:
    """Yield what looks like one of the tokens in a text, "host-3": those are not given to anybody else."""
    for match in _TOKEN.finditer(text):
        yield match.group().lower()
