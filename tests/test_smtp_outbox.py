"""The outbox and a real SMTP server (aiosmtpd) on loopback: down, up, refusing, and restarted in between."""

import socket
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from sensors.errors import SettingsError, Unavailable
from streams.beat import Counts
from streams.checkpoint import ROLL_UP, Checkpoint, Mail
from streams.smtp_outbox import Outbox, SmtpSettings, smtp_settings
from streams.sql_store import SqlStore

HOST = "127.0.0.1"
SENDER = "ioc@quangninh.example"
AT = 1_790_035_200_000
MINUTE, DAY = 60_000, 86_400_000


def mail(name: str = "m1", to: str = "lanhdao@example.vn") -> Mail:
    return Mail(name, "email", to, "[IOC] 1 việc cần quyết định", "Tỉnh Quảng Ninh – tóm tắt\nMưa rất to\n", AT)


def store_with(*mails: Mail) -> SqlStore:
    store = SqlStore("sqlite://")
    store.migrate()
    put(store, -1, *mails)
    return store


def put(store: SqlStore, expected: int, *mails: Mail) -> None:
    assert store.commit(Checkpoint(ROLL_UP, expected, expected + 1, 0, AT, b"", Counts(), mails=list(mails)))


def clock_at(now: int) -> Callable[[], int]:
    return lambda: now


class Mailbox:
    """What the server took, and which recipients it refuses."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.refuses: set[str] = set()

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refuses:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.messages.append(message_from_bytes(envelope.content, EmailMessage, policy=policy.default))
        self.recipients.append(envelope.rcpt_tos)
        return "250 taken"


class Post:
    """A mail server on a port of its own that can be down and up again."""

    def __init__(self, **options: object) -> None:
        self.mailbox = Mailbox()
        with socket.socket() as taken:
            taken.bind((HOST, 0))
            self.port: int = taken.getsockname()[1]
        self._options = options
        self._controller: Controller | None = None

    def start(self) -> None:
        self._controller = Controller(self.mailbox, hostname=HOST, port=self.port, **self._options)
        self._controller.start()

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    def settings(self, **more: str) -> SmtpSettings:
        return SmtpSettings(HOST, self.port, SENDER, **more)


@pytest.fixture
def post() -> Iterator[Post]:
    made = Post()
    made.start()
    yield made
    made.stop()


def test_a_mail_arrives_as_it_was_written(post: Post) -> None:
    assert Outbox(store_with(mail()), post.settings()).send(clock_at(AT)) == 1
    (message,) = post.mailbox.messages
    assert (message["From"], message["To"]) == (SENDER, "lanhdao@example.vn")
    assert message["Subject"] == "[IOC] 1 việc cần quyết định"
    assert message.get_content().splitlines() == mail().body.splitlines()
    assert message["Message-ID"] == "<m1@quangninh.example>"
    assert message["Auto-Submitted"] == "auto-generated"


def test_what_was_sent_is_not_sent_again_not_even_after_a_restart(post: Post) -> None:
    store = store_with(mail())
    outbox = Outbox(store, post.settings())
    assert [outbox.send(clock_at(AT)), outbox.send(clock_at(AT + DAY))] == [1, 0]
    put(store, 0, mail())
    assert Outbox(store, post.settings()).send(clock_at(AT + DAY)) == 0
    assert len(post.mailbox.messages) == 1


def test_a_server_that_is_down_and_comes_up_again_gets_the_mail_once() -> None:
    post = Post()
    outbox = Outbox(store_with(mail()), post.settings())
    assert outbox.send(clock_at(AT)) == 0
    post.start()
    try:
        assert outbox.send(clock_at(AT + 1)) == 0, "it waits a minute before it tries again"
        assert outbox.send(clock_at(AT + MINUTE)) == 1
        assert outbox.send(clock_at(AT + 9 * MINUTE)) == 0
        assert len(post.mailbox.messages) == 1
    finally:
        post.stop()


def test_one_refused_recipient_does_not_hold_up_the_others(post: Post) -> None:
    post.mailbox.refuses.add("gone@example.vn")
    outbox = Outbox(store_with(mail("m1", "gone@example.vn"), mail("m2")), post.settings())
    assert outbox.send(clock_at(AT)) == 1
    assert post.mailbox.recipients == [["lanhdao@example.vn"]]


def test_an_address_that_would_write_a_header_is_never_sent(post: Post) -> None:
    outbox = Outbox(store_with(mail("m1", "a@example.vn\nBcc: b@example.vn"), mail("m2")), post.settings())
    assert outbox.send(clock_at(AT)) == 1
    assert post.mailbox.recipients == [["lanhdao@example.vn"]]


def test_a_mail_of_last_week_is_no_news_and_stays(post: Post) -> None:
    assert Outbox(store_with(mail()), post.settings()).send(clock_at(AT + 4 * DAY)) == 0
    assert post.mailbox.messages == []


class Forgetful(SqlStore):
    """A database that goes away at the very moment at which a sent mail is to be noted."""

    is_away = False

    def mail_sent(self, mail: str, now: int) -> None:
        if self.is_away:
            raise Unavailable("gone")
        super().mail_sent(mail, now)


def test_a_database_that_fails_between_sending_and_noting_does_not_make_it_leave_twice(post: Post) -> None:
    store = Forgetful("sqlite://")
    store.migrate()
    put(store, -1, mail())
    outbox = Outbox(store, post.settings())
    store.is_away = True
    for _ in range(2):
        with pytest.raises(Unavailable):
            outbox.send(clock_at(AT))
    store.is_away = False
    assert outbox.send(clock_at(AT)) == 0
    assert len(post.mailbox.messages) == 1
    assert store.due_mails(AT + DAY, 10) == []


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_it_logs_in_where_the_server_wants_it() -> None:
    def known(server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: object) -> AuthResult:
        assert isinstance(given, LoginPassword)
        return AuthResult(success=given == LoginPassword(b"ioc", b"m@t kh:u"))

    post = Post(auth_required=True, auth_require_tls=False, authenticator=known)
    post.start()
    try:
        stranger = Outbox(store_with(mail()), post.settings())
        assert stranger.send(clock_at(AT)) == 0
        ours = smtp_settings({"IOC_SMTP_URL": f"smtp://ioc:m%40t%20kh%3Au@{HOST}:{post.port}", "IOC_SMTP_FROM": SENDER})
        assert ours is not None
        assert Outbox(store_with(mail()), ours).send(clock_at(AT)) == 1
    finally:
        post.stop()


def test_a_server_without_starttls_gets_nothing_when_it_was_asked_for(post: Post) -> None:
    settings = post.settings()._replace(starts_tls=True)
    assert Outbox(store_with(mail()), settings).send(clock_at(AT)) == 0
    assert post.mailbox.messages == []


def test_without_a_url_mail_is_not_configured() -> None:
    assert smtp_settings({}) is None
    assert smtp_settings({"IOC_SMTP_FROM": SENDER}) is None


def test_the_settings_say_where_and_how() -> None:
    assert smtp_settings({"IOC_SMTP_URL": "smtps://u:p@mail.vn", "IOC_SMTP_FROM": SENDER}) == SmtpSettings(
        "mail.vn", 465, SENDER, "u", "p", True, False
    )
    assert smtp_settings({"IOC_SMTP_URL": "smtp://mail.vn?starttls=1", "IOC_SMTP_FROM": SENDER}) == SmtpSettings(
        "mail.vn", 25, SENDER, "", "", False, True
    )


@pytest.mark.parametrize(
    ("url", "sender", "named"),
    [
        ("http://mail.vn", SENDER, "IOC_SMTP_URL"),
        ("mail.vn:25", SENDER, "IOC_SMTP_URL"),
        ("smtp://mail.vn:port", SENDER, "IOC_SMTP_URL"),
        ("smtp://mail.vn", "", "IOC_SMTP_FROM"),
        ("smtp://mail.vn", "ioc", "IOC_SMTP_FROM"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(url: str, sender: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        smtp_settings({"IOC_SMTP_URL": url, "IOC_SMTP_FROM": sender})
