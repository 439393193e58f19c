"""Password hashes (argon2id), and passwords for those who let the machine choose."""

import secrets

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

# OWASP's first choice for argon2id: 19 MiB, 2 passes, 1 lane; some 30 ms a login, and little memory beside the engine.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # without those that are taken for one another: i l o 0 1
_GROUPS, _GROUP_LETTERS = 4, 4


def hash_password(password: str) -> str:
    """The hash to keep, with its parameters and salt in it."""
    return _HASHER.hash(password)


def verify_password(kept: str, password: str) -> bool:
    """Whether the password belongs to the hash; a damaged hash belongs to none."""
    try:
        return _HASHER.verify(kept, password)
    except (Argon2Error, InvalidHashError):
        return False


def is_outdated(kept: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    try:
        return _HASHER.check_needs_rehash(kept)
    except InvalidHashError:
        return True


def make_password() -> str:
    """A random password of 79 bits that can be read out over the telephone: k7mp-x3qz-9hda-t4wf."""
    groups = ("".join(secrets.choice(_LETTERS) for _ in range(_GROUP_LETTERS)) for _ in range(_GROUPS))
    return "-".join(groups)


DECOY = hash_password(make_password())
"""Checked when a name is unknown, so that the answer takes as long as for a known one."""
