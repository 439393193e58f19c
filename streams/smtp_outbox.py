"""Sends the outbox's mails over SMTP. What is in the outbox was decided in a checkpoint; here it only leaves.

IOC_SMTP_URL is smtp://[user:password@]host:port (`?starttls=1` to upgrade) or smtps://…; {password} is read from the
file that IOC_SMTP_PASSWORD_FILE names. IOC_SMTP_FROM is the sender. Without them mails stay in the outbox.
"""

import asyncio
import os
import smtplib
import ssl
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import formatdate
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import structlog

from sensors.errors import SettingsError, Unavailable
from streams.checkpoint import Mail
from streams.secret_file import secret_from
from streams.sql_store import SqlStore

LOOK_S = 5.0
TIMEOUT_S = 20.0
MAILS_A_LOOK = 20
log = structlog.get_logger("outbox")


class SmtpSettings(NamedTuple):
    """Where mails go."""

    host: str
    port: int
    sender: str
    user: str = ""
    password: str = ""
    is_tls: bool = False
    starts_tls: bool = False


def smtp_settings(environment: dict[str, str] | None = None) -> SmtpSettings | None:
    """From the environment; None when mail is not configured. Raises SettingsError for a URL that is none."""
    given = dict(os.environ) if environment is None else environment
    url, sender = given.get("IOC_SMTP_URL", ""), given.get("IOC_SMTP_FROM", "")
    if not url or not sender:
        return None
    parts = urlsplit(secret_from(url, "IOC_SMTP_PASSWORD"))
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise SettingsError("IOC_SMTP_URL: cần / expected smtp://[user:password@]host:port or smtps://…")
    is_tls = parts.scheme == "smtps"
    return SmtpSettings(
        parts.hostname, parts.port or (465 if is_tls else 25), sender, unquote(parts.username or ""),
        unquote(parts.password or ""), is_tls, parse_qs(parts.query).get("starttls") == ["1"],
    )  # fmt: skip


async def send_due_mails(store: SqlStore, clock: Callable[[], int], look_s: float = LOOK_S) -> None:
    """Send what is due, for ever; without SMTP settings it says so once and rests."""
    settings = smtp_settings()
    if settings is None:
        log.info("mail is not configured (IOC_SMTP_URL, IOC_SMTP_FROM): summaries stay on the page and in the outbox")
        await asyncio.Event().wait()
        return
    while True:
        try:
            await asyncio.to_thread(send_batch, store, settings, clock)
        except Unavailable as reason:
            log.warning("outbox waits", reason=str(reason))
        await asyncio.sleep(look_s)


def send_batch(store: SqlStore, settings: SmtpSettings, clock: Callable[[], int]) -> int:
    """Send what is due now; returns how many were accepted. A mail that fails waits for its next time."""
    sent = 0
    for mail in store.due_mails(clock(), MAILS_A_LOOK):
        try:
            _send(mail, settings)
        except (OSError, smtplib.SMTPException) as reason:
            log.warning("mail not sent", id=mail.id, reason=str(reason))
            store.mail_failed(mail.id, clock(), str(reason)[:500])
            continue
        store.mail_sent(mail.id, clock())
        sent += 1
    return sent


def _send(mail: Mail, settings: SmtpSettings) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = settings.sender, mail.recipient, mail.subject
    message["Date"] = formatdate(mail.created_at / 1000)
    # The same for every try: should a crash fall between sending and noting it, the reader's mailbox sees one mail.
    message["Message-ID"] = f"<{mail.id}@ioc>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.body)
    kind = smtplib.SMTP_SSL if settings.is_tls else smtplib.SMTP
    with kind(settings.host, settings.port, timeout=TIMEOUT_S) as server:
        if settings.starts_tls:
            server.starttls(context=ssl.create_default_context())
        if settings.user:
            server.login(settings.user, settings.password)
        server.send_message(message)
