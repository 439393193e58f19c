"""People at the gateway over real sockets: who may act, sessions, passwords, and what every answer carries."""

import json

import pytest
from gateway_client import wall_client
from gateway_world import PASSWORD, World, alert_json

pytestmark = pytest.mark.anyio


async def test_an_operator_takes_an_alert_and_it_is_recorded_before_anyone_hears_of_it(world: World) -> None:
    sequence = await world.live.publish({"a:r-1": alert_json("r-1"), "a:r-2": alert_json("r-2", "ack_active", "binh")})
    operator = await world.log_in("truc-ban", "operator")
    async with wall_client(world.site) as wall:
        await wall.hello()
        await wall.until_sequence(sequence)
    taken = await world.site.ask("/api/alerts/r-1/acknowledge", b"", **operator)
    assert (taken.status, taken.json["alert"]) == (202, "r-1")
    said = await world.site.ask("/api/alerts/r-1/comment", '{"text":"Đã gọi cho trạm"}'.encode(), **operator)
    assert said.status == 202
    commands = world.store.waiting_commands()
    assert [(row.id, row.who, row.op, row.text) for row in commands] == [
        (taken.json["command"], "truc-ban", "acknowledge", ""),
        (said.json["command"], "truc-ban", "comment", "Đã gọi cho trạm"),
    ]
    assert await world.live.called(0)
    again = await world.site.ask("/api/alerts/r-2/acknowledge", b"", **operator)
    assert (again.status, "binh" in again.json["detail"]["vi"]) == (409, True)
    assert (await world.site.ask("/api/alerts/r-3/acknowledge", b"", **operator)).status == 404
    assert (await world.site.ask("/api/alerts/r-1/comment", b'{"text":" "}', **operator)).status == 422


async def test_nobody_acts_without_account_role_token_and_own_origin(world: World) -> None:
    await world.live.publish({"a:r-1": alert_json("r-1")})
    operator, viewer = await world.log_in("truc-ban", "operator"), await world.log_in("lanh-dao", "viewer")
    path = "/api/alerts/r-1/acknowledge"
    assert (await world.site.ask(path, b"")).status == 401
    assert (await world.site.ask(path, b"", Cookie="ioc_session=made-up", X_CSRF_Token="x")).status == 401
    assert (await world.site.ask(path, b"", Cookie=operator["Cookie"])).status == 403
    assert (await world.site.ask(path, b"", **viewer)).status == 403
    assert (await world.site.ask(path, b"", **operator, Origin="http://evil.example")).status == 403
    assert world.store.waiting_commands() == []


async def test_the_session_cookie_is_out_of_reach_of_pages_and_ends_with_logout(world: World) -> None:
    headers = await world.log_in("truc-ban", "operator")
    me = await world.site.ask("/api/me", **headers)
    assert me.json == {"name": "truc-ban", "role": "operator", "csrf": headers["X_CSRF_Token"]}
    form = await world.site.ask("/login", f"name=truc-ban&password={PASSWORD}".encode())
    assert (form.status, form.headers["Location"]) == (303, "/desk")
    cookie = str(form.headers["Set-Cookie"]).lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "secure" not in cookie
    body = f"name=truc-ban&password={PASSWORD}".encode()
    behind_tls = await world.site.ask("/login", body, X_Forwarded_Proto="https")
    assert "secure" in str(behind_tls.headers["Set-Cookie"]).lower()
    assert (await world.site.ask("/logout", b"", **headers)).status == 303
    assert (await world.site.ask("/api/me", **headers)).status == 401


async def test_a_disabled_account_is_logged_out_and_cannot_come_back(world: World) -> None:
    headers = await world.log_in("truc-ban", "operator")
    world.accounts.disable_account("truc-ban")
    assert (await world.site.ask("/api/me", **headers)).status == 401
    body = json.dumps({"name": "truc-ban", "password": PASSWORD}).encode()
    assert (await world.site.ask("/login", body, Content_Type="application/json")).status == 401


async def test_five_wrong_passwords_lock_even_the_right_one_out_for_a_while(world: World) -> None:
    await world.log_in("truc-ban", "operator")
    guess = b'{"name":"truc-ban","password":"wrong"}'
    for _ in range(5):
        wrong = await world.site.ask("/login", guess, Content_Type="application/json")
        assert wrong.status == 401
    body = json.dumps({"name": "truc-ban", "password": PASSWORD}).encode()
    locked = await world.site.ask("/login", body, Content_Type="application/json")
    assert locked.status == 429
    assert int(str(locked.headers["Retry-After"])) > 200


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"name":1,"password":"x"}', b"\xff", b"x" * 70_000, b"[" * 9000])
async def test_a_login_that_is_none_is_refused_in_words(world: World, body: bytes) -> None:
    answer = await world.site.ask("/login", body, Content_Type="application/json")
    assert answer.status in (400, 413)
    assert set(answer.json["detail"]) == {"vi", "en"}


async def test_the_desk_asks_for_an_account(world: World) -> None:
    desk = await world.site.ask("/desk")
    assert (desk.status, desk.headers["Location"]) == (303, "/login")


async def test_an_address_that_is_none_is_answered_in_both_languages(world: World) -> None:
    for answer in (await world.site.ask("/nowhere"), await world.site.ask("/api/ledger", b"")):
        assert answer.status in (404, 405)
        assert set(answer.json["detail"]) == {"vi", "en"}


async def test_every_answer_carries_a_strict_policy(world: World) -> None:
    for path in ("/health", "/wall", "/nowhere", "/api/kpis"):
        headers = (await world.site.ask(path)).headers
        assert str(headers["Content-Security-Policy"]).startswith("default-src 'none'; script-src 'self';")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-cache"
