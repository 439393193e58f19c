// @ts-check
// One alert: what it means, what to do, where its number comes from, and who did what.
import { isUnclaimed } from "./alerts.js";
import { headlineOf, stateOf } from "./desk_queue.js";
import { deskWords, fill } from "./desk_words.js";
import { addressOf } from "./desk_address.js";
import { Explain } from "./desk_explain.js";
import { html, markOf, nothing } from "./lit.js";
import { ask, lang } from "./page.js";
import { isReplay } from "./replay.js";
import { revisionOf } from "./series.js";
import { Trend } from "./trend.js";
import { age, number, own } from "./words.js";

/** @typedef {import("./types").Alert} Alert */
/** @typedef {import("./types").Kpi} Kpi */

const HOURS = 6;
const AGAIN_MS = 15_000;

export class Detail {
  /** @param {() => void} changed draw the page again */
  constructor(changed) {
    this._changed = changed;
    this.id = "";
    /** @type {(Alert & {steps: import("./types").Step[]}) | null} */
    this.answer = null;
    this.isMissing = false;
    /** @type {any} */
    this.value = null;
    /** @type {Map<string, Kpi>} */
    this.kpis = new Map();
    this._chart = document.createElement("div");
    this._chart.className = "chart";
    /** @type {Trend | null} */
    this._trend = null;
    this._askedAt = -Infinity;
    this._revision = -1;
    this._explain = new Explain(changed, false);
    this._isExplained = false;
  }

  /** @param {string} id "" for none */
  choose(id) {
    if (id === this.id) return;
    this.id = id;
    this.answer = this.value = null;
    this.isMissing = false;
    this._isExplained = false;
    this._explain.forget();
    this._askedAt = -Infinity;
    this._trend?.destroy();
    this._trend = null;
  }

  /** Ask again where the alert has moved on, or time has. @param {Alert | undefined} live @param {number} now @param {import("./words").Times} times */
  keepFresh(live, now, times) {
    if (!this.id) return;
    const isOld = performance.now() - this._askedAt > AGAIN_MS;
    const hasMoved = live !== undefined && live.revision !== this._revision;
    if (!isOld && !hasMoved) return;
    this._askedAt = performance.now();
    this._revision = live?.revision ?? this._revision;
    void this._ask(this.id, live, now, times);
  }

  /** @param {string} id @param {Alert | undefined} live @param {number} now @param {import("./words").Times} times */
  async _ask(id, live, now, times) {
    if (!this.kpis.size) for (const kpi of (await ask("kpis")) ?? []) this.kpis.set(kpi.id, kpi);
    const answer = await ask(`alerts/${encodeURIComponent(id)}`);
    if (id !== this.id) return;
    this.answer = answer ?? this.answer;
    this.isMissing = this.answer === null;
    this._changed();
    const alert = live ?? this.answer;
    const kpi = this.kpis.get(alert?.kpi ?? "");
    if (kpi && alert) await this._askNumbers(id, kpi, alert.scope, now, times);
  }

  /** @param {string} id @param {Kpi} kpi @param {string} unit @param {number} now @param {import("./words").Times} times */
  async _askNumbers(id, kpi, unit, now, times) {
    const from = String(Math.floor(now - HOURS * 3_600_000));
    const [value, points] = await Promise.all([ask(`kpis/${kpi.id}`, { unit }), ask(`kpis/${kpi.id}/history`, { unit, from })]);
    if (id !== this.id) return;
    this.value = value;
    this._trend ??= new Trend(this._chart, kpi, HOURS, times, 0.85);
    for (const point of points ?? []) if (point.value !== null) this._trend.series.put(point.to, point.value, revisionOf(point.state, point.revision));
    if (value?.value != null) this._trend.series.put(value.to, value.value, revisionOf(value.state, value.revision));
    this._changed();
    this.drawChart(now);
  }

  /** @param {number} now */
  drawChart(now) {
    if (!this._trend || !this._chart.isConnected) return;
    this._trend.draw(now);
    this._trend.resize(parseFloat(getComputedStyle(document.documentElement).fontSize));
  }

  /**
   * @param {Alert | undefined} live
   * @param {{now: number, times: import("./words").Times, waiting: Map<string, {op: string, since: number}>, canAct: boolean,
   *          nameOf: (alert: Alert) => string, unitOf: (code: string) => string, take: (id: string) => void, comment: (id: string, text: string) => Promise<boolean>,
   *          close: () => void}} desk
   */
  show(live, desk) {
    const alert = live ?? this.answer;
    if (!this.id) return html`<p class="empty">${deskWords.choose}</p>`;
    if (!alert) return this.isMissing ? html`<p class="empty">${deskWords.gone}: ${this.id}</p>` : nothing;
    const kpi = this.kpis.get(alert.kpi ?? "");
    return html`
      <div class="detail-head">${markOf(alert.severity)}<h2>${headlineOf(alert)}</h2><button class="plain" @click=${desk.close} aria-label=${deskWords.closing}>✕</button></div>
      <p class="dim">${[desk.nameOf(alert), own(alert, "field"), alert.device && `${deskWords.device} ${alert.device}`,
        fill(deskWords.since, { age: age(desk.now - alert.raised_at) }), alert.id].filter(Boolean).join(" · ")}</p>
      <div class="detail-acts">${stateOf(alert, desk)}<span class="dim">${alert.acked_by}</span>
        ${isUnclaimed(alert) && desk.canAct && !desk.waiting.has(alert.id) ? html`<button class="take" @click=${() => desk.take(alert.id)}>${deskWords.take} <kbd>A</kbd></button>` : nothing}</div>
      ${part(deskWords.response, own(alert, "response"), "response")}
      ${part(deskWords.consequence, own(alert, "consequence"), "")}
      ${part(deskWords.cause, own(alert, "cause"), "")}
      ${part(deskWords.owner, own(alert, "owner"), "")}
      ${kpi ? html`<h3>${[`${deskWords.history}: ${own(kpi, "name")}`, this._trend?.trust()].filter(Boolean).join(" · ")}</h3>${this._chart}${this._origin(kpi, desk)}${this._lineage(alert, kpi, desk)}` : nothing}
      <h3>${deskWords.log}</h3>
      <ol class="log">${(this.answer?.steps ?? []).map((step) => html`<li data-op=${step.op}><b>${desk.times.near(step.at, desk.now)}</b><span>${stepWords(step)}</span></li>`)}</ol>
      ${desk.canAct ? this._form(alert, desk) : html`<p class="dim read-only">${isReplay() ? deskWords.replayOnly : deskWords.readOnly}</p>`}`;
  }

  /** @param {Kpi} kpi @param {{now: number, times: import("./words").Times}} desk */
  _origin(kpi, desk) {
    const value = this.value;
    if (!value) return nothing;
    const unit = own(kpi, "unit");
    const state = value.state === "corrected" ? fill(deskWords.corrected, { n: number(value.revision) }) : deskWords[/** @type {"final"} */ (value.state)];
    const rows = value.value === null ? [deskWords.unknown] : [
      `${number(value.value, kpi.decimals)} ${unit} · ${state}`,
      // Only a KPI across sources counts them; of the others the explanation lists them.
      fill(kpi.across ? deskWords.readings : deskWords.readingsOnly, { n: number(value.n), m: number(value.sources) }),
      fill(deskWords.window, { from: desk.times.near(value.from, desk.now), to: desk.times.near(value.to, desk.now) }),
      fill(deskWords.asOf, { age: age(desk.now - value.as_of) }),
    ];
    const basis = /** @type {any} */ (kpi).source;
    return html`<h3>${deskWords.number}</h3><ul class="origin">${rows.map((row) => html`<li>${row}</li>`)}${basis ? html`<li class="dim">${basis}</li>` : nothing}</ul>`;
  }

  /** Back to the messages, for who asks: the journal is read for it. @param {Alert} alert @param {Kpi} kpi @param {import("./desk_explain").View} desk */
  _lineage(alert, kpi, desk) {
    const open = (/** @type {Event} */ event) => {
      this._isExplained = /** @type {HTMLDetailsElement} */ (event.target).open;
      if (this._isExplained) this._explain.choose({ kpi: kpi.id, unit: alert.scope, at: "" }, desk.times);
      this._changed();
    };
    return html`<nav class="moments"><a href=${addressOf(kpi.id, alert.scope)}>${deskWords.explainPage}</a><a href=${addressOf(kpi.id, alert.scope, alert.raised_at)}>${deskWords.explainThen}</a></nav>
      <details class="lineage" .open=${this._isExplained} @toggle=${open}><summary>${deskWords.explain}</summary>${this._isExplained ? this._explain.inside(desk) : nothing}</details>`;
  }

  /** @param {Alert} alert @param {{comment: (id: string, text: string) => Promise<boolean>}} desk */
  _form(alert, desk) {
    const send = async (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      const box = /** @type {HTMLTextAreaElement} */ (/** @type {HTMLFormElement} */ (event.target).elements.namedItem("text"));
      const text = box.value.trim();
      if (text && (await desk.comment(alert.id, text))) box.value = "";
    };
    return html`<form class="comment" @submit=${send}>
      <textarea name="text" rows="2" maxlength="1000" required placeholder=${deskWords.commentPlace} aria-label=${deskWords.comment}></textarea>
      <button type="submit">${deskWords.send} <kbd>C</kbd></button></form>`;
  }
}

/** @param {string} title @param {string} text @param {string} name */
function part(title, text, name) {
  return text ? html`<h3>${title}</h3><p class=${name}>${text}</p>` : nothing;
}

/** @param {import("./types").Step} step */
function stepWords(step) {
  if (step.op === "comment") return `${step.who}: ${step.text}`;
  const words = deskWords[/** @type {"raise"} */ (step.op)] ?? step.op;
  const said = step.who ? `${step.who} ${lang === "en" ? words : words.toLowerCase()}` : words;
  return step.text ? `${said} · ${step.text}` : said;
}
