"""The bridge: MQTT in, batches into the journal, and only then the acknowledgement (architecture §3.2).

    paho's thread ──▶ Inbox ──▶ Packer ──▶ journal.append ──▶ PUBACK

paho's thread does nothing but append to the inbox, by whole reads of the socket (`paho_client.py`). What has not been
journaled is never acknowledged, so a bridge, journal or broker that dies loses nothing: the broker sends it again.
Back-pressure needs no rule of its own: a journal that does not answer stops the acknowledgements, and the broker
stops at its limit of unacknowledged messages.

The broker lets one client of a name in at a time, but two bridges of one name may take turns: an orchestrator starts
a second one, or an old one comes back. The journal tells the one whose ordinals the other has used (Overtaken): it
asks for the ordinals again, numbers what it holds anew, and acknowledges only when that is journaled. Its batches say
how often that was so.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as mqtt
import structlog
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from sensors.batch import AGE_MS_MAX, MESSAGES_MAX, Batch
from sensors.errors import Overtaken, SettingsError, Unavailable
from sensors.journal import JournalWriter
from sensors.mqtt_inbox import Inbox
from sensors.packet import Publish
from sensors.packing import Counts, Packer
from sensors.paho_client import PlainClient, client_type
from sensors.topic import in_share, partition_of

KEEPALIVE_S = 15
RECONNECT_S = (1, 8)
SAID_EVERY = 8
"""A broker that does not answer is told of at the first try, and then about once a minute."""

LOOK_S = 0.015
LOOK_STALLED_S = 0.005
WINDOW_FULL = 16
"""A broker with a small window of unacknowledged messages stalls at it: do not let it wait for the batch's age, and
look more often once it has. Looking is the dearer half of a quiet bridge."""

HEARTBEAT_MS = 1_000
HEARTBEAT_EVERYWHERE_MS = 3_600_000
"""How often in every partition of ours: one without a record within the journal's retention has lost its numbering."""

STOP_S = 2.0
SESSION_S = 7 * 86_400
log = structlog.get_logger("bridge")
_T = TypeVar("_T")


class MqttAddress(NamedTuple):
    """`mqtt://[user[:password]@]host[:port]`, or mqtts:// for TLS."""

    host: str
    port: int
    user: str = ""
    password: str = ""
    is_tls: bool = False

    @classmethod
    def parse(cls, url: str, option: str = "--mqtt") -> "MqttAddress":
        """Raises SettingsError that names the option and what was expected."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or parts.path not in ("", "/"):
            raise SettingsError(f"{option} {url}: cần / expected mqtt://host:port (mqtts:// for TLS)")
        is_tls = parts.scheme == "mqtts"
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(parts.hostname, port or (8883 if is_tls else 1883), user, password, is_tls)

    def give(self, client: mqtt.Client) -> None:
        """Give a client its login and TLS."""
        if self.user:
            client.username_pw_set(self.user, self.password or None)
        if self.is_tls:
            client.tls_set_context(ssl.create_default_context())


class MqttBridge:
    """One bridge, share `share` of `shares` (from 1); `units` are subscribed to one by one where there are several.

    `client_id` names the persistent session: the same one finds again what it has not acknowledged. `client` is
    the way to speak MQTT; the fast one where paho is the version that it knows.
    """

    def __init__(
        self,
        address: MqttAddress,
        journal: JournalWriter,
        clock: Callable[[], int],
        client_id: str,
        partitions: int,
        share: int = 1,
        shares: int = 1,
        units: Iterable[str] = (),
        protocol: int = 3,
        client: type[PlainClient] | None = None,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._client_id = client_id
        self._partitions = partitions
        self._mine = [number for number in range(partitions) if in_share(number, share, shares)]
        self._filters = _filters(shares, partitions, self._mine, units)
        self._address = address
        self._is_five = protocol == 5
        self._client_type = client or client_type()
        self._inbox = Inbox()
        self._arrived = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_called = False
        self._is_stalling = False
        self._subscribing = 0
        self._unanswered = 0
        self.subscribed = asyncio.Event()
        self.journaled = 0
        self.overtaken = 0
        self._overtaken_at = 0

    @property
    def status_topic(self) -> str:
        """Where the bridge's own retained liveness stands: online, or offline by its Last Will."""
        return f"ioc-bridge/{self._client_id}/status"

    def counts(self) -> Counts:
        """Messages since this bridge began: arrived = journaled, or being so + held + repeated."""
        return self._inbox.counts()._replace(overtaken=self.overtaken, overtaken_at=self._overtaken_at)

    async def run(self, stop: asyncio.Event) -> None:
        """Bridge until `stop`; what was received by then and not journaled comes again at the next start."""
        self._loop = asyncio.get_running_loop()
        ordinals = await self._patiently(self._journal.next_ordinals)
        packer = Packer(self._client_id, self._partitions, ordinals)
        client = self._client()
        self._connect(client)
        client.loop_start()
        pump, stopped = asyncio.create_task(self._pump(client, packer, stop)), asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({pump, stopped}, return_when=asyncio.FIRST_COMPLETED)
            # A journal that does not answer must not hold up the end: what it has not got is not acknowledged.
            await asyncio.wait({pump}, timeout=STOP_S)
            if pump.done():
                pump.result()
        finally:
            for task in (pump, stopped):
                task.cancel()
            self._inbox.open()
            client.publish(self.status_topic, b"offline", 1, True)
            client.disconnect()
            await asyncio.to_thread(client.loop_stop)

    async def _pump(self, client: PlainClient, packer: Packer, stop: asyncio.Event) -> None:
        heartbeat_at = everywhere_at = -HEARTBEAT_EVERYWHERE_MS
        while not stop.is_set():
            await self._collect(stop)
            taken = self._inbox.take()
            for read in taken:
                packer.add(read.publishes, read.received_at)
            received, now, counts = packer.held, self._clock(), self.counts()
            batches = packer.seal(now, counts)
            if not 0 <= now - heartbeat_at < HEARTBEAT_MS:  # also when the clock was set back
                # The first one into all that is ours, too: the worker misses nobody any more who wrote there before.
                told, heartbeat_at = self._mine[:1], now
                if not 0 <= now - everywhere_at < HEARTBEAT_EVERYWHERE_MS:
                    told, everywhere_at = self._mine, now
                batches += [packer.heartbeat(number, now, counts) for number in told]
            if batches:
                await self._append(packer, batches)
                self._inbox.acknowledge(taken, client.acknowledge)
                self.journaled += received

    async def _append(self, packer: Packer, batches: list[Batch]) -> None:
        """Have the batches journaled: numbered anew, as often as another bridge has used their ordinals."""
        delay = 0.05
        while batches:
            try:
                await self._patiently(partial(self._journal.append, batches))
                return
            except Overtaken as reason:
                self.overtaken, self._overtaken_at = self.overtaken + 1, self._clock()
                messages = sum(len(batch.topics) for batch in batches)
                log.warning(
                    "another bridge writes to the journal, is there one of this client id or share? numbering anew",
                    reason=str(reason), messages=messages, overtaken=self.overtaken,
                )  # fmt: skip
            # The other has something under way, or it would not have been quicker.
            await asyncio.sleep(delay)
            delay = min(delay * 2, 5.0)
            batches = packer.renumbered(batches, await self._patiently(self._journal.next_ordinals), self.counts())

    async def _collect(self, stop: asyncio.Event) -> None:
        """Wait for messages, then for a batch's worth of them, 50 ms at most; or for a heartbeat's time."""
        assert self._loop is not None
        self._is_called = False
        self._arrived.clear()
        if not self._inbox.held:
            waits = [asyncio.create_task(self._arrived.wait()), asyncio.create_task(stop.wait())]
            await asyncio.wait(waits, timeout=HEARTBEAT_MS / 1000, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        # From here on nobody needs to be called: the inbox is looked at every few milliseconds.
        self._is_called = True
        deadline = self._loop.time() + AGE_MS_MAX / 1000
        look_s = LOOK_STALLED_S if self._is_stalling else LOOK_S
        self._is_stalling, held = False, 0
        while 0 < self._inbox.held < MESSAGES_MAX and self._loop.time() < deadline:
            self._is_stalling = held >= WINDOW_FULL and held == self._inbox.held
            if self._is_stalling:
                return
            held = self._inbox.held
            await asyncio.sleep(look_s)

    async def _patiently(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Try again, unchanged, until the journal answers."""
        delay = 0.05
        while True:
            try:
                return await call()
            except Unavailable as reason:
                log.warning("journal does not answer; nothing is acknowledged meanwhile", reason=str(reason))
                await asyncio.sleep(delay)
                delay = min(delay * 2, 5.0)

    # paho's thread

    def _client(self) -> PlainClient:
        client = self._client_type(self._client_id, self._is_five, self._on_publishes)
        self._address.give(client)
        client.will_set(self.status_topic, b"offline", 1, True)
        client.reconnect_delay_set(*RECONNECT_S)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_connect_fail = self._on_connect_fail
        client.on_subscribe = self._on_subscribe
        client.suppress_exceptions = False
        return client

    def _connect(self, client: mqtt.Client) -> None:
        """A persistent session in either version: 3.1.1 says so when the client is made, 5 when it connects."""
        address = self._address
        if not self._is_five:
            client.connect_async(address.host, address.port, KEEPALIVE_S)
            return
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_S
        properties.ReceiveMaximum = 20_000
        client.connect_async(address.host, address.port, KEEPALIVE_S, clean_start=False, properties=properties)

    def _on_connect_fail(self, _: mqtt.Client, __: Any) -> None:
        if not self._unanswered % SAID_EVERY:
            log.warning("the broker does not answer; trying again", broker=f"{self._address.host}:{self._address.port}")
        self._unanswered += 1

    def _on_connect(self, client: mqtt.Client, _: Any, __: Any, reason: Any, ___: Any) -> None:
        if reason.is_failure:
            log.error("the broker refused the bridge", reason=str(reason), broker=self._address.host)
            return
        self._unanswered = 0
        client.publish(self.status_topic, b"online", 1, True)
        parts = [self._filters[start : start + 8] for start in range(0, len(self._filters), 8)]
        self._subscribing = len(parts)
        for names in parts:
            client.subscribe([(name, 1) for name in names])
        log.info("connected", broker=f"{self._address.host}:{self._address.port}", filters=len(self._filters))

    def _on_subscribe(self, _: mqtt.Client, __: Any, ___: int, reasons: list[Any], ____: Any) -> None:
        failed = [str(reason) for reason in reasons if reason.is_failure]
        if failed:
            advice = "NATS: lower max_ack_pending, 65,535 is the limit over all filters of a session"
            log.error("the broker refused a subscription", reasons=failed, advice=advice)
            return
        self._subscribing -= 1
        if not self._subscribing:
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self.subscribed.set)

    def _on_disconnect(self, _: mqtt.Client, __: Any, ___: Any, reason: Any, ____: Any) -> None:
        self._inbox.reconnected()
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self.subscribed.clear)
        log.warning("connection to the broker ended", reason=str(reason))

    def _on_publishes(self, publishes: list[Publish]) -> None:
        self._inbox.put(publishes, self._clock())
        if not self._is_called:
            self._is_called = True
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self._arrived.set)
        self._inbox.wait_for_room()


def _filters(shares: int, partitions: int, mine: list[int], units: Iterable[str]) -> list[str]:
    """One filter for everything, or those of this bridge's units."""
    if shares == 1:
        return ["ioc/#"]
    return [f"ioc/{unit}/#" for unit in units if partition_of(f"ioc/{unit}/", partitions) in mine]
