// @ts-check
// The live channel: connects, follows, notices silence, connects again. One socket at a time; old ones are muted.
import { address } from "./page.js";
import { Replica } from "./replica.js";
import { ServerClock } from "./server_clock.js";

/** @typedef {import("./types").LinkState} LinkState */

const SLOW_MS = 2_500;
const DEAD_MS = 8_000;
const RETRY_LEAST_MS = 500;
const RETRY_MOST_MS = 10_000;
const HEALTH_MS = 10_000;
const RELOAD_EVERY_MS = 600_000;
const CLOSE_PROTOCOL = 4000;

export class LiveLink {
  /**
   * @param {string} wall
   * @param {{changed: (keys: string[]) => void, described: (meta: import("./types").Meta) => void,
   *          linked: (state: LinkState) => void, refused?: (status: number) => void}} listener
   */
  constructor(wall, listener) {
    this.replica = new Replica();
    this.clock = new ServerClock();
    /** @type {LinkState} */
    this.state = "slow";
    /** What to say where the gateway refuses, as an HTTP status; 0 where it does not. */
    this.refusal = 0;
    this._wall = wall;
    this._listener = listener;
    /** @type {WebSocket | null} */
    this._socket = null;
    this._failures = 0;
    this._heardAt = performance.now();
    this._tellingSince = 0;
    this._retryAt = 0;
    this._build = "";
    this._replay = "null";
    this._gap = 0;
    this._longest = 0;
    this._wantsReload = false;
    this._observeLongTasks();
  }

  start() {
    this._connect();
    setInterval(() => this._watch(), 250);
    setInterval(() => this._report(), HEALTH_MS);
  }

  /** ms since the last frame. */
  silence() {
    return performance.now() - this._heardAt;
  }

  /** ms until the next attempt; 0 where one is under way. */
  retryIn() {
    return this._socket ? 0 : Math.max(0, this._retryAt - performance.now());
  }

  _connect() {
    const socket = new WebSocket(address("live", { wall: this._wall }, "ws"));
    this._socket = socket;
    this._tellingSince = performance.now();
    socket.onopen = () => this._hello(this.replica.epoch, this.replica.sequence);
    socket.onmessage = (event) => {
      if (this._socket === socket) this._take(JSON.parse(event.data));
    };
    socket.onclose = (event) => {
      if (this._socket === socket) this._closed(event.code);
    };
  }

  /** @param {string} epoch @param {number} seq */
  _hello(epoch, seq) {
    this._send({ t: "hello", v: 1, epoch, seq });
  }

  /** @param {object} message */
  _send(message) {
    if (this._socket?.readyState === WebSocket.OPEN) this._socket.send(JSON.stringify(message));
  }

  /** @param {import("./types").Frame} frame */
  _take(frame) {
    const now = performance.now();
    this._gap = Math.max(this._gap, now - this._heardAt);
    this._heardAt = now;
    this._failures = 0;
    this.refusal = 0;
    if (frame.t === "hash") {
      if (!this.replica.proves(frame)) this._hello("", 0);
      return;
    }
    if (frame.t === "meta") this._pace(frame);
    this.clock.heard(frame.now);
    if (frame.t === "meta") {
      this.replica.begin(frame);
      this._compareBuild(frame.build);
      this._listener.described(frame);
    } else {
      const changed = this.replica.follow(frame);
      if (changed.length) this._listener.changed(changed);
    }
    this._judge();
  }

  /** A replay has a time of its own, and so has each next one. @param {import("./types").Meta} meta */
  _pace(meta) {
    const replay = JSON.stringify(meta.replay ?? null);
    if (replay !== this._replay) this.clock.runAt(meta.replay?.speed ?? 1);
    this._replay = replay;
  }

  /** @param {number} code */
  _closed(code) {
    this._forget();
    if (code === CLOSE_PROTOCOL) this._wantsReload = true;
    const most = Math.min(RETRY_MOST_MS, RETRY_LEAST_MS * 2 ** Math.min(this._failures, 10));
    this._retryAt = performance.now() + RETRY_LEAST_MS + Math.random() * (most - RETRY_LEAST_MS);
    this._failures += 1;
    if (this._failures === 2) void this._askWhy();
  }

  _forget() {
    const socket = this._socket;
    this._socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  /** A browser does not say why a socket was refused; plain HTTP does. */
  async _askWhy() {
    try {
      const answer = await fetch(address("api/alerts", { limit: "1" }));
      this.refusal = answer.ok ? 0 : answer.status;
      if (!answer.ok) this._listener.refused?.(answer.status);
    } catch {
      this.refusal = 0;
    }
  }

  _watch() {
    if (this._socket) {
      const since = Math.max(this._heardAt, this._tellingSince);
      if (performance.now() - since > DEAD_MS) this._closed(0);
    } else if (performance.now() >= this._retryAt) {
      this._connect();
    }
    this._judge();
    if (this._wantsReload) void this._reload();
  }

  _judge() {
    const silence = this.silence();
    const state = silence > DEAD_MS ? "down" : silence > SLOW_MS || !this.replica.epoch ? "slow" : "live";
    if (state === this.state) return;
    this.state = state;
    this._listener.linked(state);
  }

  /** @param {string} build */
  _compareBuild(build) {
    if (this._build && build !== this._build) this._wantsReload = true;
    else this._build = build;
  }

  /** Load the page again: connected, sure that it is there, and not twice in ten minutes. */
  async _reload() {
    const now = this.clock.now();
    const last = Number(sessionStorage.getItem("ioc-reloaded") ?? "0");
    if (!(now - last > RELOAD_EVERY_MS)) return;
    this._wantsReload = false;
    try {
      const answer = await fetch(location.href);
      if (!answer.ok) throw new Error(String(answer.status));
      sessionStorage.setItem("ioc-reloaded", String(now));
      location.reload();
    } catch {
      this._wantsReload = true;
    }
  }

  /** Ask for a fresh page, as insurance against what nobody foresaw. */
  reloadSoon() {
    this._wantsReload = true;
  }

  _observeLongTasks() {
    if (!PerformanceObserver.supportedEntryTypes?.includes("longtask")) return;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) this._longest = Math.max(this._longest, entry.duration);
    }).observe({ entryTypes: ["longtask"] });
  }

  _report() {
    const heap = /** @type {any} */ (performance).memory?.usedJSHeapSize ?? null;
    this._send({
      t: "health", up: performance.now() / 1000, heap, gap: this._gap, long: this._longest,
      nodes: document.getElementsByTagName("*").length,
    });
    this._gap = this._longest = 0;
  }
}
