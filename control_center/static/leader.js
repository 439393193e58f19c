// @ts-check
// The leaders' page: one sentence, three counts, what is open, indicators against targets, what changed, what is unknown.
// Read only. Alerts and values come by the live channel; targets, changes and unknowns from the newest summary.
import { countBySeverity, worstFirst } from "./alerts.js";
import { faultWords, gravity, standingFaults } from "./fault_strip.js";
import { titleOn } from "./figures.js";
import { card, filled, indicator, liveTarget, sentence, threeCounts } from "./leader_parts.js";
import { leaderWords } from "./leader_words.js";
import { html, markOf, nothing, render } from "./lit.js";
import { LiveLink } from "./live_link.js";
import { ask, dress, one, tag, wallName } from "./page.js";
import { isReplay, tellReplay } from "./replay.js";
import { age, fineAge, number, own, Times, words } from "./words.js";

/** @typedef {import("./leader_parts").Target} Target */

const SUMMARY_AGAIN_MS = 30_000;
const CARDS = 30;

class Leader {
  constructor() {
    this._times = new Times("UTC");
    /** @type {Map<string, string>} */
    this._names = new Map();
    /** @type {any} */
    this._summary = null;
    this._askedAt = -Infinity;
    this._isDirty = false;
    this._refused = 0;
    this._link = new LiveLink(wallName, {
      described: (meta) => {
        this._names = new Map(meta.units);
        this._times = new Times(meta.place.zone);
        this._refused = 0;
        tellReplay(meta.replay, this._times);
        this._later();
      },
      changed: () => this._later(),
      linked: (state) => {
        tag(document.documentElement, "link", state);
        this._later();
      },
      refused: (status) => {
        this._refused = status;
        this._later();
      },
    });
  }

  start() {
    this._link.start();
    setInterval(() => this._later(), 1000);
    this._later();
  }

  _later() {
    if (this._isDirty) return;
    this._isDirty = true;
    requestAnimationFrame(() => this._draw());
  }

  async _askSummary() {
    this._askedAt = performance.now();
    this._summary = (await ask("summary")) ?? this._summary;
    this._later();
  }

  _draw() {
    this._isDirty = false;
    const now = this._link.clock.now();
    if (Number.isNaN(now)) {
      const text = this._refused === 401 ? leaderWords.refused : leaderWords.waiting;
      render(html`<h1>${text}</h1>`, one("#head"));
      return;
    }
    if (performance.now() - this._askedAt > SUMMARY_AGAIN_MS) void this._askSummary();
    const alerts = this._link.replica.under("a:").map(([, alert]) => alert).sort(worstFirst);
    render(this._head(alerts, now), one("#head"));
    render(this._body(alerts, now), one("#body"));
  }

  /** @param {import("./types").Alert[]} alerts @param {number} now */
  _head(alerts, now) {
    const counts = countBySeverity(alerts);
    const title = this._title(now);
    return html`<div class="line"><span class="link"><i class="lamp"></i>${isReplay() && this._link.state === "live" ? words.replayed : words[this._link.state]} · ${fineAge(this._link.silence())}</span><b class="clock">${isReplay() ? html`<small>${words.replayClock}</small> ` : nothing}${this._times.minute(now)}</b></div>
      <p class="place">${title ? own(title, "name") : ""} · ${this._times.day(now)}</p>
      <h1 id="sentence">${sentence(alerts, counts)}</h1>${threeCounts(counts)}
      ${standingFaults(this._link.replica, now).slice(0, 1).map((fault) => html`<p id="fault" role="alert" data-sev=${gravity(fault)}>${markOf(gravity(fault))}
        <span>${faultWords(fault)}</span></p>`)}
      ${this._link.state === "down" ? html`<p id="down" role="alert">${words.banner.replace("{age}", age(this._link.silence()))}</p>` : nothing}`;
  }

  /** @param {import("./types").Alert[]} alerts @param {number} now */
  _body(alerts, now) {
    const facts = this._summary?.facts;
    const decide = new Set((facts?.decide ?? []).map((/** @type {any} */ item) => item.alert));
    const [first, others] = [alerts.filter((alert) => decide.has(alert.id)), alerts.filter((alert) => !decide.has(alert.id))];
    const left = alerts.length + this._link.replica.more - Math.min(alerts.length, CARDS);
    return html`
      ${this._cards(leaderWords.decide, first.slice(0, CARDS), now)}
      ${this._cards(leaderWords.open, others.slice(0, Math.max(0, CARDS - first.length)), now)}
      ${left > 0 ? html`<p class="more">${filled(leaderWords.more, { n: number(left) })}</p>` : nothing}
      ${this._targets(this._known(facts), now)}
      ${facts ? lines(leaderWords.changed, facts.changed ?? [], leaderWords.nothingChanged, facts.since ? filled(leaderWords.since, { time: this._times.near(facts.since, now) }) : "") : nothing}
      ${facts?.unknown?.length ? lines(leaderWords.unknown, facts.unknown, "", "") : nothing}
      <footer id="made">${this._summary ? filled(leaderWords.made, { time: this._times.near(this._summary.at, now), age: age(now - this._summary.at) }) : leaderWords.noSummary}</footer>`;
  }

  /** @param {string} heading @param {import("./types").Alert[]} alerts @param {number} now */
  _cards(heading, alerts, now) {
    if (!alerts.length) return nothing;
    const title = this._title(now);
    return html`<section><h2>${heading}</h2>${alerts.map((alert) =>
      card(alert, alert.unit_vi || this._names.get(alert.scope) || (title ? own(title, "name") : alert.scope), this._names.get(alert.scope) ?? "", now))}</section>`;
  }

  /** Targets of the summary, with the live value where the live channel has a newer one. @param {any} facts @returns {Target[]} */
  _known(facts) {
    const meta = this._link.replica.meta;
    const live = new Map((meta?.kpis ?? []).map((kpi) => [kpi.id, liveTarget(kpi, this._link.replica.values.get(`k:${kpi.id}@${meta?.place.code}`))]));
    /** @type {Target[]} */
    const listed = (facts?.targets ?? []).map((/** @type {Target} */ target) => {
      const fresh = live.get(target.kpi);
      return fresh && (fresh.as_of ?? 0) > (target.as_of ?? 0) ? fresh : { ...target, fresh_ms: fresh?.fresh_ms ?? 0 };
    });
    const names = new Set(listed.map((target) => target.kpi));
    return [...listed, ...[...live.values()].filter((target) => target.goal && !names.has(target.kpi))];
  }

  /** What misses its target first, then what is not known; what is fine is one line that opens. @param {Target[]} targets @param {number} now */
  _targets(targets, now) {
    const met = targets.filter((target) => target.met === true);
    const part = (/** @type {string} */ heading, /** @type {Target[]} */ listed) =>
      listed.length ? html`<section><h2>${heading}</h2>${listed.map((target) => indicator(target, now))}</section>` : nothing;
    return html`${part(leaderWords.missed, targets.filter((target) => target.met === false))}
      ${part(leaderWords.unknownTargets, targets.filter((target) => target.goal && target.met === null))}
      ${part(leaderWords.others, targets.filter((target) => !target.goal))}
      ${met.length ? html`<details><summary>${filled(leaderWords.met, { n: number(met.length) })}</summary>${met.map((target) => indicator(target, now))}</details>` : nothing}`;
  }

  /** @param {number} now */
  _title(now) {
    return titleOn(this._link.replica.meta?.place.titles ?? [], this._times.date(now));
  }
}

/** @param {string} heading @param {any[]} items @param {string} empty @param {string} note */
function lines(heading, items, empty, note) {
  return html`<section class="lines"><h2>${heading} <small>${note}</small></h2>
    ${items.length ? html`<ul>${items.map((item) => html`<li>${own(item, "text")}</li>`)}</ul>` : html`<p class="more">${empty}</p>`}</section>`;
}

dress(["day", "dusk", "night"]);
new Leader().start();
