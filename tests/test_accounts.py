"""Accounts: what roles may do, names and passwords, the lock-out, and the hashes."""

import string

import pytest

from control_center.account import KEYS_MAX, LIMITS, LockOut, may, name_fault, password_fault
from control_center.argon2_accounts import hash_password, is_outdated, make_password, verify_password

MINUTE_MS = 60_000


@pytest.mark.parametrize(
    ("role", "acts", "manages"),
    [
        ("viewer", False, False), ("operator", True, False), ("supervisor", True, False), ("admin", True, True),
        ("", False, False), ("root", False, False),
    ],
)  # fmt: skip
def test_a_role_allows_what_the_table_says_and_an_unknown_one_nothing(role: str, acts: bool, manages: bool) -> None:
    assert may(role, "acknowledge") is acts
    assert may(role, "comment") is acts
    assert may(role, "manage_accounts") is manages
    assert may(role, "read") is (role in ("viewer", "operator", "supervisor", "admin"))


@pytest.mark.parametrize("name", ["truc-ban", "a1", "nguyen.van_an", "0" * 32])
def test_a_plain_name_is_accepted(name: str) -> None:
    assert name_fault(name) == ""


@pytest.mark.parametrize("name", ["", "a", "Trực", "trực ban", "-x", "a/b", "a" * 33, "an\n"])
def test_any_other_name_is_refused_in_both_languages(name: str) -> None:
    assert " / " in name_fault(name)


@pytest.mark.parametrize("password", ["short", "truc-ban-2026", "aaaaaaaaaaaa", "x" * 300])
def test_a_weak_password_is_refused_in_both_languages(password: str) -> None:
    assert " / " in password_fault("truc-ban", password)


def test_a_made_password_is_accepted_and_each_is_another() -> None:
    made = {make_password() for _ in range(200)}
    assert len(made) == 200
    for password in made:
        assert password_fault("truc-ban", password) == ""
        assert set(password) <= set(string.ascii_lowercase + string.digits + "-") - set("ilo01")


def test_a_hash_knows_its_password_only_and_has_its_own_salt() -> None:
    kept = hash_password("mật khẩu dài")
    assert verify_password(kept, "mật khẩu dài")
    assert not verify_password(kept, "mật khẩu dài ")
    assert kept != hash_password("mật khẩu dài")
    assert kept.startswith("$argon2id$")


def test_a_damaged_hash_belongs_to_no_password_and_is_outdated() -> None:
    assert not verify_password("", "")
    assert not verify_password("$argon2id$nonsense", "x")
    assert is_outdated("")
    assert not is_outdated(hash_password("mật khẩu dài"))


def test_five_failures_lock_this_person_at_this_address_for_five_minutes() -> None:
    lock_out = LockOut()
    for second in range(5):
        assert lock_out.wait_ms("an", "10.0.0.1", second * 1000) == 0
        lock_out.failed("an", "10.0.0.1", second * 1000)
    assert lock_out.wait_ms("an", "10.0.0.1", 4_000) == 5 * MINUTE_MS
    assert lock_out.wait_ms("an", "10.0.0.1", 4_000 + 5 * MINUTE_MS) == 0


def test_a_stranger_does_not_lock_a_colleague_out_from_another_address() -> None:
    lock_out = LockOut()
    for _ in range(5):
        lock_out.failed("an", "10.0.0.1", 0)
    assert lock_out.wait_ms("an", "10.0.0.2", 0) == 0
    assert lock_out.wait_ms("binh", "10.0.0.1", 0) == 0


def test_failures_far_apart_lock_nobody_and_success_forgets_them() -> None:
    lock_out = LockOut()
    for number in range(10):
        lock_out.failed("an", "10.0.0.1", number * 16 * MINUTE_MS)
    assert lock_out.wait_ms("an", "10.0.0.1", 9 * 16 * MINUTE_MS) == 0
    for _ in range(4):
        lock_out.failed("binh", "10.0.0.1", 0)
    lock_out.succeeded("binh", "10.0.0.1")
    lock_out.failed("binh", "10.0.0.1", 0)
    assert lock_out.wait_ms("binh", "10.0.0.1", 0) == 0


def test_one_address_may_not_try_many_names_nor_many_addresses_one_name() -> None:
    lock_out = LockOut()
    for number in range(LIMITS["address"].failures):
        lock_out.failed(f"name{number}", "10.0.0.1", 0)
    assert lock_out.wait_ms("another", "10.0.0.1", 0) > 0
    for number in range(LIMITS["name"].failures):
        lock_out.failed("an", f"10.1.0.{number}", 0)
    assert lock_out.wait_ms("an", "10.2.0.1", 0) > 0


def test_the_memory_of_failures_is_bounded() -> None:
    lock_out = LockOut()
    for number in range(KEYS_MAX):
        lock_out.failed(f"name{number}", "10.0.0.1", 0)
    assert len(lock_out._failures) <= KEYS_MAX
