"""Whether an MQTT broker has gone deaf, by its answers to a probe that asks every few seconds (`mqtt_probe`).

A question is a small message, QoS 1, to a topic of the probe's own that the probe has subscribed to. There are two
answers: that it is acknowledged, and that it comes back, which says more: what nobody has subscribed to is acknowledged
and thrown away also by a broker that can keep nothing any more, and such a one refuses subscriptions.

Our own broker must give the better answer. Of a city's broker we do not know what its rules (ACL) let the probe's login
do; many acknowledge what they then drop in silence. So a city's broker **must go on giving the best answer that it has
given so far**. One that has let the probe in and never answered it is not judged, nor is one that refuses the probe in
words, or by closing the connection every time it is asked (Mosquitto 2.0.11 does, though it acknowledges): none of
these is deaf. One that lets nobody in is, and one that closes connections after it has kept one while it was asked:
NATS with a full disk does.
"""

from typing import Literal

DEAF_MS = 12_000
CLOSED_MAX = 3
"""Connections that ended between a question and the next, before one ever outlived that."""


class Answers:
    """What has come of asking; times in ms UTC."""

    def __init__(self, now: int, is_ours: bool) -> None:
        """`is_ours`: the broker has no rules that we do not know of."""
        self._is_ours = is_ours
        self._best: Literal["none", "acknowledged", "returned"] = "returned" if is_ours else "none"
        self._answered_at = now
        self._accepted_at: int | None = None
        self._is_connected = self._is_asked = self._has_kept = False
        self._closed = 0
        self.refusal = ""
        """Why a city's broker is not asked any more."""

    def accepted(self, now: int) -> None:
        """A connection was accepted."""
        self._is_connected, self._is_asked = True, False
        if self._accepted_at is None:
            self._accepted_at = now
        self._count("none", now)

    def asked(self) -> None:
        """A question goes out."""
        self._has_kept = self._has_kept or self._is_asked
        self._is_asked = True

    def refused(self, reason: str) -> None:
        """A connection was refused for what the probe is, not for how the broker is."""
        if not self._is_ours:
            self.refusal = reason

    def closed(self, now: int) -> None:
        """The connection ended, or one that was never accepted."""
        if not self._is_connected:
            return
        self._is_connected = False
        self._count("none", now)
        self._closed += self._is_asked and not self._has_kept
        if self._closed >= CLOSED_MAX:
            self.refused("it closes the connection when it is asked")

    def acknowledged(self, now: int) -> None:
        """A question was acknowledged, were it to say that it is not allowed."""
        self._count("acknowledged", now)

    def returned(self, now: int) -> None:
        """A question came back."""
        self._count("returned", now)

    @property
    def must_return(self) -> bool:
        """Whether the better answer is owed: a subscription that is refused must then be tried again."""
        return self._best == "returned"

    def is_deaf(self, now: int) -> bool:
        """Whether the answer that it owes has not come for DEAF_MS."""
        is_judged = not self.refusal and (self._best != "none" or not self._is_connected)
        return is_judged and now - self._answered_at > DEAF_MS

    def is_unknown(self, now: int) -> bool:
        """Whether it has let the probe in DEAF_MS ago and never answered: that is not judged."""
        is_asked_in_vain = self._best == "none" and self._accepted_at is not None and now - self._accepted_at > DEAF_MS
        return is_asked_in_vain and not self.refusal

    def _count(self, answer: Literal["none", "acknowledged", "returned"], now: int) -> None:
        order = ("none", "acknowledged", "returned")
        if order.index(answer) >= order.index(self._best):
            self._best, self._answered_at = answer, now
