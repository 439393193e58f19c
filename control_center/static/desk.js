// @ts-check
// The operators' desk: the queue, one alert in detail, what was rejected. Everything it shows can be linked.
import { isUnclaimed, unclaimedFirst } from "./alerts.js";
import { command, leave, logOut, mayAct, whoAmI } from "./commands.js";
import { askedBy } from "./desk_address.js";
import { Detail } from "./desk_detail.js";
import { Explain } from "./desk_explain.js";
import { headlineOf, queueTable } from "./desk_queue.js";
import { PANES, Trust } from "./desk_trust.js";
import { deskWords, fill } from "./desk_words.js";
import { faultWords, gravity, standingFaults } from "./fault_strip.js";
import { ledgerOf, titleOn } from "./figures.js";
import { html, markOf, nothing, render } from "./lit.js";
import { LiveLink } from "./live_link.js";
import { ask, dress, one, tag, wallName } from "./page.js";
import { isReplay, tellReplay } from "./replay.js";
import { Sound } from "./sound.js";
import { age, fineAge, number, own, Times, words } from "./words.js";

/** @typedef {import("./types").Alert} Alert */
/** @typedef {import("./desk_trust").Pane} Pane */
/** @typedef {"open" | "unclaimed" | "mine" | "kpi" | Pane} Tab */

const RATE_AGAIN_MS = 60_000;
const WAIT_MOST_MS = 20_000;

class Desk {
  constructor() {
    /** @type {import("./commands").Me | null} */
    this._me = null;
    /** @type {Tab} */
    this._tab = "open";
    this._search = "";
    this._error = "";
    this._isDirty = false;
    this._rate = "";
    this._rateAt = -Infinity;
    /** @type {Map<string, string>} */
    this._names = new Map();
    /** Commands that were sent and not yet brought back by the live channel. @type {Map<string, {op: string, since: number, revision: number}>} */
    this._waiting = new Map();
    this._times = new Times("UTC");
    this._sound = new Sound();
    this._detail = new Detail(() => this._later());
    this._trust = new Trust(() => this._later());
    this._explain = new Explain(() => this._later(), true);
    this._link = new LiveLink(wallName, {
      described: (meta) => {
        this._names = new Map(meta.units);
        this._times = new Times(meta.place.zone);
        tellReplay(meta.replay, this._times);
        this._later();
      },
      changed: () => this._later(),
      linked: (state) => {
        tag(document.documentElement, "link", state);
        if (state === "live" && !this._me) void this._login();
        this._later();
      },
      refused: (status) => {
        if (status === 401) leave();
      },
    });
  }

  start() {
    addEventListener("hashchange", () => this._follow());
    addEventListener("keydown", (event) => this._key(event));
    addEventListener("resize", () => this._later());
    this._follow();
    void this._login();
    this._link.start();
    setInterval(() => this._later(), 1000);
  }

  async _login() {
    this._me = await whoAmI();
    this._later();
  }

  /** The address says what is shown. */
  _follow() {
    const [kind, id] = location.hash.slice(1).split("/", 2);
    this._detail.choose(kind === "alert" && id ? decodeURIComponent(id) : "");
    if (isPane(kind)) this._tab = kind;
    else if (askedBy(location.hash)) this._tab = "kpi";
    else if (isPane(this._tab) || this._tab === "kpi") this._tab = "open";
    this._later();
  }

  /** @param {string} id */
  _choose(id) {
    location.hash = id ? `alert/${encodeURIComponent(id)}` : "";
  }

  /** @param {Tab} tab */
  _turn(tab) {
    this._tab = tab;
    if (isPane(tab)) location.hash = tab;
    else if (isPane(location.hash.slice(1)) || askedBy(location.hash)) location.hash = "";
    this._later();
  }

  /** @param {KeyboardEvent} event */
  _key(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.key === "Escape") {
      this._escape(target);
      return;
    }
    if (["INPUT", "TEXTAREA"].includes(target.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!this._act(event.key)) return;
    event.preventDefault();
  }

  /** @param {string} key @returns {boolean} whether the key means something here */
  _act(key) {
    const id = this._detail.id;
    if (key === "/") one("#search").focus();
    else if (key === "ArrowDown") this._step(1);
    else if (key === "ArrowUp") this._step(-1);
    else if (key.toLowerCase() === "a" && id) void this._take(id);
    else if (key.toLowerCase() === "c" && id) /** @type {HTMLElement | null} */ (document.querySelector(".comment textarea"))?.focus();
    else return false;
    return true;
  }

  /** @param {HTMLElement} target */
  _escape(target) {
    this._error = "";
    if (["INPUT", "TEXTAREA"].includes(target.tagName)) target.blur();
    else this._choose("");
    this._later();
  }

  /** @param {number} by */
  _step(by) {
    const alerts = this._listed();
    const at = alerts.findIndex((alert) => alert.id === this._detail.id);
    const next = alerts[at < 0 ? 0 : Math.min(alerts.length - 1, Math.max(0, at + by))];
    if (!next) return;
    this._choose(next.id);
    requestAnimationFrame(() => document.querySelector('[data-chosen="true"]')?.scrollIntoView({ block: "nearest" }));
  }

  /** What was cannot be acted on. */
  _canAct() {
    return this._me !== null && mayAct(this._me) && !isReplay();
  }

  /** @param {string} id */
  async _take(id) {
    const alert = this._link.replica.values.get(`a:${id}`);
    if (!this._canAct() || !alert || !isUnclaimed(alert) || this._waiting.has(id)) return;
    await this._send("acknowledge", id);
  }

  /** @param {string} op @param {string} id @param {object} [body] @returns {Promise<boolean>} */
  async _send(op, id, body) {
    if (!this._me || !this._canAct()) return false;
    const revision = this._link.replica.values.get(`a:${id}`)?.revision ?? 0;
    this._waiting.set(id, { op, since: this._link.clock.now(), revision });
    this._error = "";
    this._later();
    const error = await command(this._me, `alerts/${encodeURIComponent(id)}/${op}`, body);
    if (error) {
      this._waiting.delete(id);
      this._error = error;
    }
    this._later();
    return !error;
  }

  /** What the live channel has brought is not waited for any more. */
  _settle() {
    const now = this._link.clock.now();
    for (const [id, sent] of this._waiting) {
      const alert = this._link.replica.values.get(`a:${id}`);
      if (!alert || alert.revision > sent.revision || now - sent.since > WAIT_MOST_MS) this._waiting.delete(id);
    }
  }

  /** @returns {Alert[]} */
  _alerts() {
    return this._link.replica.under("a:").map(([, alert]) => alert);
  }

  /** @returns {Alert[]} */
  _listed() {
    const words_ = this._search.toLowerCase();
    return this._alerts()
      .filter((alert) => this._tab !== "unclaimed" || isUnclaimed(alert))
      .filter((alert) => this._tab !== "mine" || alert.acked_by === this._me?.name)
      .filter((alert) => !words_ || `${this._nameOf(alert)} ${headlineOf(alert)} ${own(alert, "field")} ${alert.id}`.toLowerCase().includes(words_))
      .sort(unclaimedFirst);
  }

  /** @param {Alert} alert */
  _nameOf(alert) {
    const title = titleOn(this._link.replica.meta?.place.titles ?? [], this._times.date(this._link.clock.now() || 0));
    return this._names.get(alert.scope) ?? (title ? own(title, "name") : alert.scope);
  }

  _later() {
    if (this._isDirty) return;
    this._isDirty = true;
    requestAnimationFrame(() => this._draw());
  }

  _draw() {
    this._isDirty = false;
    const now = this._link.clock.now();
    if (Number.isNaN(now)) return;
    this._settle();
    const alerts = this._alerts();
    if (!isReplay()) this._sound.heed(alerts.filter((alert) => alert.severity === "critical" && isUnclaimed(alert)).map(({ id }) => id));
    const live = alerts.find(({ id }) => id === this._detail.id);
    this._detail.keepFresh(live, now, this._times);
    if (isPane(this._tab)) this._trust.keepFresh(this._tab, now);
    if (performance.now() - this._rateAt > RATE_AGAIN_MS) void this._askRate(now);
    const asked = askedBy(location.hash);
    if (asked) this._explain.choose(asked, this._times);
    const desk = {
      now, times: this._times, waiting: this._waiting, chosen: this._detail.id, canAct: this._canAct(),
      nameOf: (/** @type {Alert} */ alert) => this._nameOf(alert), choose: (/** @type {string} */ id) => this._choose(id),
      unitOf: (/** @type {string} */ code) => this._names.get(code) ?? code, take: (/** @type {string} */ id) => void this._take(id), close: () => this._choose(""),
      comment: (/** @type {string} */ id, /** @type {string} */ text) => this._send("comment", id, { text }),
    };
    render(this._head(alerts, now), one("#head"));
    render(this._work(desk), one("#work"));
    render(this._detail.show(live, desk), one("#detail"));
    render(this._foot(now), one("#foot"));
    tag(document.documentElement, "tab", this._tab);
    tag(document.documentElement, "wide", String(isPane(this._tab) || this._tab === "kpi"));
    tag(document.documentElement, "detail", String(this._detail.id !== ""));
    this._detail.drawChart(now);
    this._explain.drawChart();
  }

  /** What the middle of the page is about. @param {import("./desk_queue").Queue & import("./desk_trust").View} desk */
  _work(desk) {
    if (this._tab === "kpi") return this._explain.page(desk);
    if (isPane(this._tab)) return this._trust.show(this._tab, desk);
    return queueTable(this._listed(), desk, this._search ? deskWords.none : deskWords.all);
  }

  /** @param {Alert[]} alerts @param {number} now */
  _head(alerts, now) {
    const title = titleOn(this._link.replica.meta?.place.titles ?? [], this._times.date(now));
    /** @type {Record<string, number>} */
    const counts = { missing: ledgerOf(this._link.replica.under("l:").map(([, row]) => row)).missing, open: alerts.length + this._link.replica.more, unclaimed: alerts.filter(isUnclaimed).length, mine: alerts.filter((alert) => alert.acked_by === this._me?.name).length };
    const state = this._link.state;
    return html`<h1>${deskWords.desk}</h1><span class="dim">${title ? own(title, "name") : ""}</span>
      <nav>${/** @type {Exclude<Tab, "kpi">[]} */ (["open", "unclaimed", "mine", ...PANES]).map((tab) => html`<button data-tab=${tab} aria-pressed=${String(tab === this._tab)}
        @click=${() => this._turn(tab)}>${deskWords[tab]} ${tab in counts ? html`<b>${number(counts[tab] ?? 0)}</b>` : nothing}</button>`)}</nav>
      <input id="search" type="search" placeholder=${deskWords.search} aria-label=${deskWords.searching} .value=${this._search}
        @input=${(/** @type {Event} */ event) => { this._search = /** @type {HTMLInputElement} */ (event.target).value; this._later(); }}>
      <span class="link"><i class="lamp"></i>${isReplay() && state === "live" ? words.replayed : words[state]} · ${fineAge(this._link.silence())}</span>
      <b class="clock">${isReplay() ? html`<small>${words.replayClock}</small> ` : nothing}${this._times.second(now)}</b>
      <button class="plain" id="sound" ?disabled=${isReplay()} aria-pressed=${String(this._sound.isOn)} @click=${() => { this._sound.toggle(); this._later(); }}>${deskWords.sound}: ${this._sound.isOn ? deskWords.on : deskWords.off}</button>
      <span id="me">${this._me?.name ?? ""}</span><button class="plain" id="logout" @click=${() => void logOut(this._me)}>${deskWords.logout}</button>
      ${standingFaults(this._link.replica, now).map((fault) => html`<p class="fault" role="alert" data-what=${fault.what} data-sev=${gravity(fault)}>${markOf(gravity(fault))}
        <span>${faultWords(fault)} · ${age(now - fault.since)}</span><small>${fault.detail}</small></p>`)}
      ${this._error ? html`<p id="error" role="alert">${this._error}</p>` : nothing}
      ${state === "down" ? html`<p id="down" role="alert">${words.banner.replace("{age}", age(this._link.silence()))}</p>` : nothing}`;
  }

  /** @param {number} now */
  _foot(now) {
    const rows = this._link.replica.under("l:").map(([, row]) => row);
    const sum = ledgerOf(rows);
    const parts = /** @type {const} */ (["accepted", "duplicate", "too_late", "rejected", "in_flight"]);
    return html`<span class="keys"><kbd>↑</kbd> <kbd>↓</kbd> ${deskWords.choosing} · ${this._canAct() ? html`<kbd>A</kbd> ${deskWords.take.toLowerCase()} · <kbd>C</kbd> ${deskWords.comment.toLowerCase()} · ` : nothing}<kbd>/</kbd> ${deskWords.searching} · <kbd>Esc</kbd> ${deskWords.closing}</span>
      ${rows.length ? html`<span class="sum" data-balanced=${String(sum.difference === 0)}>${words.received} <b>${number(sum.received)}</b> = ${parts.map((name, at) => html`${at ? " + " : ""}<b>${number(sum[name])}</b> ${words[name].toLowerCase()}`)} · ${words.difference.toLowerCase()} <b>${number(sum.difference)}</b></span>` : nothing}
      <span class="rate">${this._rate}</span>`;
  }

  /** How many alerts came in ten minutes, closed ones too: the room sees when rules are bad. @param {number} now */
  async _askRate(now) {
    this._rateAt = performance.now();
    const alerts = await ask("alerts", { open: "0", limit: "200" });
    if (!alerts) return;
    const known = new Map([...alerts, ...this._alerts()].map((alert) => [alert.id, alert.raised_at]));
    const count = [...known.values()].filter((at) => at > now - 600_000).length;
    this._rate = fill(deskWords.rate, { n: number(count) });
  }
}

/** @param {string | undefined} name @returns {name is Pane} */
function isPane(name) {
  return PANES.includes(/** @type {Pane} */ (name));
}

dress(["dusk", "day", "night"]);
document.title = deskWords.desk;
new Desk().start();
