"""Alerts: what is open, one with its log, and the commands of operators.

A command is recorded in the database before anybody hears of it; a worker carries it out on its beat, and the desk
sees the new state when the live channel brings it. The answer 202 says: recorded.
"""

import uuid
from typing import Annotated, Any, Literal

import msgspec
import structlog
from fastapi import APIRouter, Depends, Query, Request
from typing_extensions import TypedDict

from control_center.http_access import Person, actor, reader
from control_center.http_api import from_store
from control_center.http_context import Context, fault, read_body
from control_center.view import worst_first
from sensors.errors import Unavailable
from streams.alert import Alert, Command
from streams.live_keys import alert_texts
from streams.span import MS_MAX

COMMENT_LETTERS_MAX = 1000
log = structlog.get_logger("audit")


class Recorded(TypedDict):
    """A command that was recorded and will be carried out."""

    command: str
    alert: str
    op: str


class _Comment(msgspec.Struct):
    text: str


def alert_routes(context: Context) -> APIRouter:
    """What the desk reads and does."""
    routes = APIRouter(prefix="/api/alerts", tags=["alerts"])
    may_see = [Depends(reader(context))]

    @routes.get("", dependencies=may_see, summary="Alerts; open=1 leaves out those that are closed")
    async def alerts(
        open_: Annotated[bool, Query(alias="open")] = True,
        limit: Annotated[int, Query(ge=1, le=1000)] = 200,
        by: Annotated[int, Query(ge=0, le=MS_MAX, description="With open=0: raised by then, ms UTC")] = MS_MAX,
    ) -> list[dict[str, Any]]:
        if open_:
            live = dict(context.mirror.state.items("a:"))
            return [msgspec.json.decode(live[key]) for key in worst_first(live)[:limit]]
        rows = await from_store(lambda: context.store.alerts(open_only=False, limit=limit, by=by))
        return [alert_texts(row, context.catalogue) for row in rows]

    @routes.get("/{alert_id}", dependencies=may_see, summary="One alert with its log")
    async def alert(alert_id: str) -> dict[str, Any]:
        row = await _alert(context, alert_id)
        steps = await from_store(lambda: context.store.alert_steps(alert_id))
        return alert_texts(row, context.catalogue) | {"steps": [msgspec.to_builtins(step) for step in steps]}

    @routes.post("/{alert_id}/acknowledge", status_code=202, summary="Take an alert (needs an account)")
    async def acknowledge(alert_id: str, request: Request) -> Recorded:
        person = await actor(context, request, "acknowledge")
        row = await _open_alert(context, alert_id)
        if row.state.startswith("ack"):
            raise fault(409, f"{row.acked_by} đã nhận cảnh báo này", f"{row.acked_by} has taken this alert already")
        return await _record(context, person, "acknowledge", alert_id, "")

    # The body is read by hand, within its bound; declared here for those who read the API's description.
    @routes.post(
        "/{alert_id}/comment",
        status_code=202,
        summary="Write a line into an alert's log (needs an account)",
        openapi_extra={"requestBody": _COMMENT_BODY},
    )
    async def comment(alert_id: str, request: Request) -> Recorded:
        person = await actor(context, request, "comment")
        text = _text_of(await read_body(request))
        await _open_alert(context, alert_id)
        return await _record(context, person, "comment", alert_id, text)

    return routes


_COMMENT_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["text"],
                "properties": {"text": {"type": "string", "minLength": 1, "maxLength": COMMENT_LETTERS_MAX}},
            }
        }
    },
}


async def _alert(context: Context, alert_id: str) -> Alert:
    """The newest state of an alert: the live one where there is one."""
    live = context.mirror.state.get(f"a:{alert_id}")
    if live is not None:
        return msgspec.json.decode(live, type=Alert)
    row = await from_store(lambda: context.store.alert(alert_id))
    if row is None:
        raise fault(404, f"không có cảnh báo {alert_id[:64]}", f"there is no alert {alert_id[:64]}")
    return row


async def _open_alert(context: Context, alert_id: str) -> Alert:
    if context.settings.replay is not None:
        raise fault(409, "đang phát lại: không nhận lệnh", "this is a replay: nothing can be ordered")
    row = await _alert(context, alert_id)
    if row.state == "closed":
        raise fault(409, "cảnh báo đã đóng", "the alert is closed")
    return row


def _text_of(body: bytes) -> str:
    try:
        text = msgspec.json.decode(body, type=_Comment).text.strip()
    except msgspec.MsgspecError:
        text = ""
    if not 1 <= len(text) <= COMMENT_LETTERS_MAX or any(letter < " " and letter not in "\n\t" for letter in text):
        length = f"1–{COMMENT_LETTERS_MAX}"
        raise fault(422, f'cần {{"text": …}} dài {length} ký tự', f'{{"text": …}} of {length} characters is needed')
    return text


async def _record(
    context: Context, person: Person, op: Literal["acknowledge", "comment"], alert_id: str, text: str
) -> Recorded:
    command = Command(uuid.uuid4().hex, context.clock(), person.name, op, alert_id, text)
    await from_store(lambda: context.store.record_command(command))
    context.metrics.commands.labels(op).inc()
    log.info("command", id=command.id, who=person.name, op=op, alert=alert_id)
    try:
        await context.live.call()
    except Unavailable as reason:
        # It is recorded; workers also look for commands by themselves.
        log.warning("command waits for a worker's next look", id=command.id, reason=str(reason))
    return {"command": command.id, "alert": alert_id, "op": op}
