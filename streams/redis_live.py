"""The live store of the cluster: Redis. One script, so one round trip, for each write and for each read.

    <prefix>:values   hash: key → JSON
    <prefix>:order    sorted set: key → number of its last change; a key without a value here is a tombstone
    <prefix>:gone     sorted set: the tombstones, key → number of the deletion
    <prefix>:meta     hash: nonce, seq, floor, calls
    <prefix>:wake     channel: "c" something changed, "a" a person's command waits

The epoch is the server's run id and a nonce kept beside the data: a flushed or restarted Redis, or one that came
back with older data, therefore numbers under a new epoch, and every reader starts again in full.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import redis.asyncio as redis
from redis.exceptions import RedisError

from sensors.errors import SettingsError, Unavailable
from streams.asyncio_signal import Signal, happened
from streams.live import Delta
from streams.sync import TOMBSTONES_MAX

TIMEOUT_S = 5.0
PREFIX = "{ioc:live}"  # braces: one slot of a Redis Cluster, which a script over several keys needs

_EPOCH = """
redis.call('HSETNX', KEYS[4], 'nonce', ARGV[1])
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
local epoch = run .. '-' .. redis.call('HGET', KEYS[4], 'nonce')
local seq = tonumber(redis.call('HGET', KEYS[4], 'seq') or '0')
local floor = tonumber(redis.call('HGET', KEYS[4], 'floor') or '0')
"""

# ARGV: nonce, tombstones kept, channel, number of keys set, key, value, …, keys deleted, …
_PUBLISH = (
    _EPOCH
    + """
local next, sets = seq + 1, tonumber(ARGV[4])
local changed = false
for i = 5, 4 + 2 * sets, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) ~= ARGV[i + 1] then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
    redis.call('ZADD', KEYS[2], next, ARGV[i])
    redis.call('ZREM', KEYS[3], ARGV[i])
    changed = true
  end
end
for i = 5 + 2 * sets, #ARGV do
  if redis.call('HDEL', KEYS[1], ARGV[i]) == 1 then
    redis.call('ZADD', KEYS[2], next, ARGV[i])
    redis.call('ZADD', KEYS[3], next, ARGV[i])
    changed = true
  end
end
if not changed then return {epoch, seq} end
while redis.call('ZCARD', KEYS[3]) > tonumber(ARGV[2]) do
  local oldest = redis.call('ZPOPMIN', KEYS[3])
  redis.call('ZREM', KEYS[2], oldest[1])
  floor = math.max(floor, tonumber(oldest[2]))
end
redis.call('HSET', KEYS[4], 'seq', next, 'floor', floor)
redis.call('PUBLISH', ARGV[3], 'c')
return {epoch, next}
"""
)

# ARGV: nonce, the reader's epoch, the reader's sequence
_SINCE = (
    _EPOCH
    + """
local last = tonumber(ARGV[3])
if ARGV[2] ~= epoch or last < floor or last > seq then
  return {epoch, seq, 1, redis.call('HGETALL', KEYS[1])}
end
local flat = {}
for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. last, '+inf')) do
  flat[#flat + 1] = key
  flat[#flat + 1] = redis.call('HGET', KEYS[1], key)
end
return {epoch, seq, 0, flat}
"""
)


class RedisLive:
    """`streams.live.LiveStore` on Redis 6.2 or newer, or Valkey. Connects when first used, and again after a loss.

    Raises SettingsError for a URL that is none.
    """

    def __init__(self, url: str, prefix: str = PREFIX, tombstones_max: int = TOMBSTONES_MAX) -> None:
        # A name for the numbering, used only if the server has none yet.
        self._nonce = secrets.token_hex(8)
        self._tombstones_max = tombstones_max
        self._redis = _client(url)
        self._keys = [f"{prefix}:{part}" for part in ("values", "order", "gone", "meta")]
        self._channel = f"{prefix}:wake"
        self._publish = self._redis.register_script(_PUBLISH)
        self._since = self._redis.register_script(_SINCE)
        self._news, self._calls = Signal(), Signal()
        self._calls_seen = 0
        self._epoch = b""
        self._is_renewed = False
        self._listener: asyncio.Task[None] | None = None
        self._subscribed = asyncio.Event()

    async def publish(self, changes: Mapping[str, bytes | None]) -> int:
        pairs = [part for key, value in changes.items() if value is not None for part in (key, value)]
        gone = [key for key, value in changes.items() if value is None]
        head: list[str | bytes | int] = [self._nonce, self._tombstones_max, self._channel, len(pairs) // 2]
        async with _translated():
            epoch, sequence = await self._publish(keys=self._keys, args=[*head, *pairs, *gone])
        self._is_renewed |= self._epoch not in (b"", epoch)
        self._epoch = epoch
        return int(sequence)

    def renewed(self) -> bool:
        is_renewed, self._is_renewed = self._is_renewed, False
        return is_renewed

    async def since(self, epoch: str, sequence: int) -> Delta:
        async with _translated():
            answer = await self._since(keys=self._keys, args=[self._nonce, epoch, sequence])
        name, newest, is_full, flat = answer
        changes = {flat[index].decode(): flat[index + 1] for index in range(0, len(flat), 2)}
        return Delta(name.decode(), int(newest), bool(is_full), changes)

    async def changed(self, sequence: int, timeout_s: float) -> bool:
        async with _translated():
            await self._listen()
            news = self._news.next()
            if await self._number("seq") == sequence:
                await happened(news, timeout_s)
            # Looked at again also after a timeout: a channel that reconnects loses what was said meanwhile.
            return await self._number("seq") != sequence

    async def call(self) -> None:
        async with _translated(), self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hincrby(self._keys[3], "calls", 1)
            pipeline.publish(self._channel, "a")
            await pipeline.execute()

    async def called(self, timeout_s: float) -> bool:
        async with _translated():
            await self._listen()
            calls = self._calls.next()
            if await self._heard():
                return True
            await happened(calls, timeout_s)
            return await self._heard()

    async def close(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            with contextlib.suppress(asyncio.CancelledError, RedisError, OSError):
                await self._listener
            self._listener = None
        with contextlib.suppress(RedisError, OSError):
            await self._redis.aclose()

    async def _heard(self) -> bool:
        """Whether there are calls that this reader has not answered True to; calls of before it began count too."""
        before, self._calls_seen = self._calls_seen, await self._number("calls")
        return before != self._calls_seen

    async def _number(self, field: str) -> int:
        return int(await cast(Awaitable[Any], self._redis.hget(self._keys[3], field)) or 0)

    async def _listen(self) -> None:
        """See to it that somebody hears the channel; raises what ended the last listener, once."""
        if self._listener is not None and self._listener.done():
            ended, self._listener = self._listener, None
            await ended
        if self._listener is None:
            self._subscribed.clear()
            self._listener = asyncio.create_task(self._hear())
        waiter = asyncio.ensure_future(self._subscribed.wait())
        await asyncio.wait({waiter, self._listener}, return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        if self._listener.done():
            ended, self._listener = self._listener, None
            await ended

    async def _hear(self) -> None:
        try:
            async with self._redis.pubsub(ignore_subscribe_messages=False) as channel:
                await channel.subscribe(self._channel)
                while True:
                    message = await channel.get_message(timeout=TIMEOUT_S)
                    if message is None:
                        continue
                    if message["type"] == "subscribe":
                        self._subscribed.set()
                    elif message["data"] == b"a":
                        self._calls.raise_()
                    else:
                        self._news.raise_()
        finally:
            # Who waits is woken, looks, and meets the error itself.
            self._news.raise_()
            self._calls.raise_()


def _client(url: str) -> redis.Redis:
    try:
        return redis.Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, protocol=2)
    except ValueError as error:
        # The URL itself is not told: a password may be in it.
        raise SettingsError("--redis: cần / expected redis://host:port (rediss:// for TLS)") from error


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise Unavailable(f"live store: {error}") from error
