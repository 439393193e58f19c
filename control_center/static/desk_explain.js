// @ts-check
// "Con số này từ đâu": one number, from its value back to the messages that it was made of.
import { formulaPart, messagesPart, panesPart, sourcesPart, unitsPart, valuePart } from "./desk_explain_parts.js";
import { deskWords } from "./desk_words.js";
import { html, nothing } from "./lit.js";
import { ask, askOr, lang } from "./page.js";
import { revisionOf } from "./series.js";
import { Trend } from "./trend.js";

/** @typedef {import("./types").Explanation} Explanation */
/** @typedef {{now: number, times: import("./words").Times, unitOf: (code: string) => string}} View */

const HOURS = 6;

export class Explain {
  /** @param {() => void} changed draw the page again @param {boolean} hasChart */
  constructor(changed, hasChart) {
    this._changed = changed;
    this._hasChart = hasChart;
    this._asked = "";
    this._error = "";
    /** @type {Explanation | null} */
    this._told = null;
    this._chart = document.createElement("div");
    this._chart.className = "chart";
    /** @type {Trend | null} */
    this._trend = null;
  }

  /** Another number, or another moment of it. @param {{kpi: string, unit: string, at: string}} asked @param {import("./words").Times} times */
  choose(asked, times) {
    const name = `${asked.kpi}@${asked.unit}?${asked.at}`;
    if (name === this._asked) return;
    this.forget();
    this._asked = name;
    void this._ask(name, asked, times);
  }

  forget() {
    this._asked = this._error = "";
    this._told = null;
    this._trend?.destroy();
    this._trend = null;
  }

  /** @param {string} name @param {{kpi: string, unit: string, at: string}} asked @param {import("./words").Times} times */
  async _ask(name, asked, times) {
    const { answer, error } = await askOr("explain", { kpi: asked.kpi, unit: asked.unit, ...(asked.at ? { at: asked.at } : {}) });
    if (name !== this._asked) return;
    this._told = answer;
    this._error = error;
    this._changed();
    if (answer && this._hasChart) await this._askHistory(name, answer, times);
  }

  /** @param {string} name @param {Explanation} told @param {import("./words").Times} times */
  async _askHistory(name, told, times) {
    const { kpi, unit, window } = told;
    const range = { unit, from: String(window.to - HOURS * 3_600_000), to: String(window.to) };
    const [definition, points] = await Promise.all([ask(`kpis`), ask(`kpis/${kpi}/history`, range)]);
    const known = definition?.find((/** @type {import("./types").Kpi} */ one) => one.id === kpi);
    if (name !== this._asked || !known) return;
    this._trend = new Trend(this._chart, known, HOURS, times, 0.85);
    for (const point of points ?? []) if (point.value !== null) this._trend.series.put(point.to, point.value, revisionOf(point.state, point.revision));
    if (told.value.value !== null) this._trend.series.put(window.to, told.value.value, revisionOf(told.value.state, told.value.revision));
    this._changed();
  }

  /** After the page was drawn. */
  drawChart() {
    if (!this._trend || !this._told || !this._chart.isConnected) return;
    this._trend.draw(this._told.window.to);
    this._trend.resize(parseFloat(getComputedStyle(document.documentElement).fontSize));
  }

  /** A page of its own. @param {View} view */
  page(view) {
    const told = this._told;
    if (!told) return html`<p class="empty" data-explained=${this._error ? "error" : "asking"}>${this._error || deskWords.explaining}</p>`;
    return html`<div class="explain page" data-explained="told">
      <div><h2>${told.name[lang]} · ${told.scope_name}</h2>${valuePart(told, view)}
        ${this._trend ? html`<h3>${[deskWords.historyTo, this._trend.trust()].filter(Boolean).join(" · ")}</h3>${this._chart}` : nothing}
        ${formulaPart(told)}</div>
      <div>${unitsPart(told)}${sourcesPart(told, view)}${panesPart(told, view)}${messagesPart(told, view)}</div></div>`;
  }

  /** In an alert's detail. @param {View} view */
  inside(view) {
    const told = this._told;
    if (!told) return html`<p class="dim" data-explained=${this._error ? "error" : "asking"}>${this._error || deskWords.explaining}</p>`;
    return html`<div class="explain" data-explained="told">${valuePart(told, view)}${formulaPart(told)}${unitsPart(told)}${sourcesPart(told, view)}
      ${panesPart(told, view)}${messagesPart(told, view)}</div>`;
  }
}
