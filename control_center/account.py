"""Accounts: roles, what each may do, what a name and a password must be, and the lock-out after failures.

A role says what a person does in the room, and the table says what that allows; nothing is anonymous but reading.
"""

import re
from collections.abc import Iterable
from typing import Literal, get_args

import msgspec

Role = Literal[
    "viewer",  # lãnh đạo, khách: reads
    "operator",  # trực ban: takes and comments alerts
    "supervisor",  # trưởng ca: as an operator, and answers for the shift
    "admin",  # quản trị: all of it, and the accounts
]
Action = Literal["read", "acknowledge", "comment", "manage_accounts"]

ROLES: tuple[Role, ...] = get_args(Role)
ALLOWED: dict[Role, frozenset[Action]] = {
    "viewer": frozenset({"read"}),
    "operator": frozenset({"read", "acknowledge", "comment"}),
    "supervisor": frozenset({"read", "acknowledge", "comment"}),
    "admin": frozenset({"read", "acknowledge", "comment", "manage_accounts"}),
}

PASSWORD_LETTERS_MIN = 10
PASSWORD_LETTERS_MAX = 256
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,31}")


def may(role: str, action: Action) -> bool:
    """Whether a role allows an action; a role that this version does not know allows nothing."""
    return any(role == known and action in ALLOWED[known] for known in ROLES)


def name_fault(name: str) -> str:
    """What is wrong with an account's name, in both languages; empty when nothing is."""
    if _NAME.fullmatch(name):
        return ""
    return (
        "tên gồm 2–32 ký tự a-z 0-9 . _ -, bắt đầu bằng chữ hoặc số / "
        "a name has 2–32 of a-z 0-9 . _ - and starts with a letter or digit"
    )


def password_fault(name: str, password: str) -> str:
    """What is wrong with a password, in both languages; empty when nothing is."""
    if len(password) < PASSWORD_LETTERS_MIN:
        return f"mật khẩu ngắn hơn {PASSWORD_LETTERS_MIN} ký tự / shorter than {PASSWORD_LETTERS_MIN} characters"
    if len(password) > PASSWORD_LETTERS_MAX:
        return f"mật khẩu dài hơn {PASSWORD_LETTERS_MAX} ký tự / longer than {PASSWORD_LETTERS_MAX} characters"
    if name and name in password.lower():
        return "mật khẩu chứa tên tài khoản / the password contains the account's name"
    if len(set(password)) < 5:
        return "mật khẩu lặp lại quá ít ký tự / the password repeats too few characters"
    return ""


class Limit(msgspec.Struct, frozen=True):
    """After `failures` within `within_ms`, no attempt is looked at for `locked_ms`."""

    failures: int
    within_ms: int
    locked_ms: int


QUARTER_HOUR_MS = 900_000
LIMITS: dict[str, Limit] = {
    # Someone who forgot: this account from this address only, so that nobody locks a colleague out from afar.
    "pair": Limit(5, QUARTER_HOUR_MS, 300_000),
    # One address trying many names.
    "address": Limit(30, QUARTER_HOUR_MS, QUARTER_HOUR_MS),
    # Many addresses trying one name: slowed to some 60 tries an hour.
    "name": Limit(60, 3_600_000, 60_000),
}
KEYS_MAX = 10_000


class LockOut:
    """Failed logins in memory; bounded, the longest untouched go first. Times are ms UTC."""

    def __init__(self, limits: dict[str, Limit] = LIMITS) -> None:
        self._limits = limits
        self._failures: dict[tuple[str, ...], list[int]] = {}

    def wait_ms(self, name: str, address: str, now: int) -> int:
        """How long this name must wait at this address; 0 when it may try."""
        waits = [0]
        for key in self._keys(name, address):
            limit, times = self._limits[key[0]], self._failures.get(key, [])
            if len(times) >= limit.failures:
                waits.append(times[-1] + limit.locked_ms - now)
        return max(waits)

    def failed(self, name: str, address: str, now: int) -> None:
        """Count a failed attempt."""
        for key in self._keys(name, address):
            limit = self._limits[key[0]]
            times = [time for time in self._failures.pop(key, []) if time > now - limit.within_ms]
            self._failures[key] = [*times, now][-limit.failures :]
        while len(self._failures) > KEYS_MAX:
            del self._failures[next(iter(self._failures))]

    def succeeded(self, name: str, address: str) -> None:
        """Forget this person's slips; what the address did with other names still counts."""
        self._failures.pop(("pair", name, address), None)

    def _keys(self, name: str, address: str) -> Iterable[tuple[str, ...]]:
        return ("pair", name, address), ("address", address), ("name", name)
