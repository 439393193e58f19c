"""Sends the outbox's mails over SMTP. What is in the outbox was decided in a checkpoint; here it only leaves.

IOC_SMTP_URL is smtp://[user:password@]host:port (`?starttls=1` to upgrade) or smtps://…; {password} is read from the
file that IOC_SMTP_PASSWORD_FILE names. IOC_SMTP_FROM is the sender. Without them mails stay in the outbox.
"""

import asyncio
import os
import smtplib
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.message import EmailMessage
from email.utils import formatdate
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import structlog

from sensors.errors import SettingsError, Unavailable
from streams.checkpoint import Mail
from streams.schedule import is_address
from streams.secret_file import secret_from
from streams.sql_store import SqlStore

LOOK_S = 5.0
TIMEOUT_S = 20.0
MAILS_A_LOOK = 20
KEPT_MS = 3 * 86_400_000
"""A mail that could not leave for three days is no news any more."""

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


def smtp_settings(environment: Mapping[str, str] | None = None) -> SmtpSettings | None:
    """From the environment; None when mail is not configured. Raises SettingsError for what cannot work."""
    given = os.environ if environment is None else environment
    url, sender = given.get("IOC_SMTP_URL", "").strip(), given.get("IOC_SMTP_FROM", "").strip()
    if not url:
        return None
    if not is_address(sender):
        raise SettingsError("IOC_SMTP_FROM: cần địa chỉ người gửi / the sender's e-mail address is missing")
    parts = urlsplit(secret_from(url, "IOC_SMTP_PASSWORD"))
    port = _port(parts)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or port is None:
        raise SettingsError("IOC_SMTP_URL: cần / expected smtp://[user:password@]host:port or smtps://…")
    return SmtpSettings(
        parts.hostname, port, sender, unquote(parts.username or ""), unquote(parts.password or ""),
        parts.scheme == "smtps", parse_qs(parts.query).get("starttls") == ["1"],
    )  # fmt: skip


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port or (465 if parts.scheme == "smtps" else 25)
    except ValueError:
        return None


async def send_due_mails(store: SqlStore, clock: Callable[[], int], look_s: float = LOOK_S) -> None:
    """Send what is due, for ever; without SMTP settings it says so once and rests."""
    settings = smtp_settings()
    if settings is None:
        log.info("mail is not configured (IOC_SMTP_URL, IOC_SMTP_FROM): summaries stay on the page and in the outbox")
        await asyncio.Event().wait()
        return
    outbox = Outbox(store, settings)
    while True:
        try:
            await asyncio.to_thread(outbox.send, clock)
        except Unavailable as reason:
            log.warning("outbox waits", reason=str(reason))
        await asyncio.sleep(look_s)


class Outbox:
    """Sends and notes what was sent. Raises Unavailable when the database does not answer."""

    def __init__(self, store: SqlStore, settings: SmtpSettings) -> None:
        self._store = store
        self._settings = settings
        self._unnoted: set[str] = set()

    def send(self, clock: Callable[[], int]) -> int:
        """Send what is due now; returns how many were accepted. A mail that fails waits for its next time."""
        self._note_sent(clock)
        sent = 0
        for mail in self._store.due_mails(clock(), MAILS_A_LOOK):
            fault = self._try(mail, clock())
            if fault is not None:
                log.warning("mail not sent", id=mail.id, reason=fault)
                self._store.mail_failed(mail.id, clock(), fault[:500])
                continue
            # Kept in mind until it is noted: a database that fails just now must not make it leave twice.
            self._unnoted.add(mail.id)
            self._note_sent(clock)
            sent += 1
        return sent

    def _note_sent(self, clock: Callable[[], int]) -> None:
        for mail in sorted(self._unnoted):
            self._store.mail_sent(mail, clock())
            self._unnoted.discard(mail)

    def _try(self, mail: Mail, now: int) -> str | None:
        """What went wrong, in words; None when the server took the mail."""
        if now - mail.created_at > KEPT_MS:
            return "too old to be sent"
        try:
            _send(mail, self._settings)
        except (OSError, smtplib.SMTPException, ValueError) as reason:
            return str(reason) or type(reason).__name__
        return None


def _send(mail: Mail, settings: SmtpSettings) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = settings.sender, mail.recipient, mail.subject
    message["Date"] = formatdate(mail.created_at / 1000)
    # The same for every try: should a crash fall between sending and noting it, the reader's mailbox sees one mail.
    message["Message-ID"] = f"<{mail.id}@{settings.sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.body)
    server = _connected(settings)
    try:
        if settings.starts_tls:
            server.starttls(context=ssl.create_default_context())
        if settings.user:
            server.login(settings.user, settings.password)
        server.send_message(message)
    finally:
        # Taken is taken: however the server says good-bye, the mail must not leave again.
        with suppress(OSError, smtplib.SMTPException):
            server.quit()


def _connected(settings: SmtpSettings) -> smtplib.SMTP:
    """smtps checks the certificate, as STARTTLS does."""
    if settings.is_tls:
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(settings.host, settings.port, timeout=TIMEOUT_S, context=context)
    return smtplib.SMTP(settings.host, settings.port, timeout=TIMEOUT_S)
