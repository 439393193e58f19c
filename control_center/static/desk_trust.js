// @ts-check
// Whether the numbers can be trusted: the ledger, what never came, clocks that are wrong, what was not counted.
import { clockTable } from "./desk_clocks.js";
import { bridgeTable, kindTable, ledgerTotals } from "./desk_ledger.js";
import { missingTable } from "./desk_missing.js";
import { rejectionTable } from "./desk_rejections.js";
import { deskWords } from "./desk_words.js";
import { html, nothing } from "./lit.js";
import { ask } from "./page.js";

/** @typedef {"ledger" | "missing" | "clocks" | "rejections"} Pane */
/** @typedef {{now: number, times: import("./words").Times, unitOf: (code: string) => string}} View */

/** @type {Pane[]} */
export const PANES = ["ledger", "missing", "clocks", "rejections"];
const AGAIN_MS = 10_000;
/** All sources of a city are a long answer: asked for seldom. */
const SOURCES_AGAIN_MS = 60_000;
const HOUR_MS = 3_600_000;
const ROWS_MOST = 50_000;

export class Trust {
  /** @param {() => void} changed draw the page again */
  constructor(changed) {
    this._changed = changed;
    /** @type {Record<string, any>} */
    this._answers = {};
    /** @type {Map<Pane, number>} */
    this._askedAt = new Map();
    /** Of what was not counted, the reason that is looked at; "" for all. */
    this._reason = "";
  }

  /** Ask again where time has passed. @param {Pane} pane @param {number} now */
  keepFresh(pane, now) {
    const isOld = performance.now() - (this._askedAt.get(pane) ?? -Infinity) > (pane === "clocks" ? SOURCES_AGAIN_MS : AGAIN_MS);
    if (!isOld) return;
    this._askedAt.set(pane, performance.now());
    const from = String(Math.floor((now - HOUR_MS) / 60_000) * 60_000);
    if (pane === "ledger") void this._ask("rows", "ledger/rows", { from, limit: String(ROWS_MOST) });
    if (pane === "missing") void this._ask("missing", "missing", { limit: "200" });
    if (pane === "clocks") void this._ask("sources", "sources");
    if (pane === "rejections") void this._ask("rejections", "rejections", { limit: "200" });
    void this._ask("ledger", "ledger");
  }

  /** @param {string} name @param {string} path @param {Record<string, string>} [parameters] */
  async _ask(name, path, parameters) {
    const answer = await ask(path, parameters);
    if (answer !== null) this._answers[name] = answer;
    this._changed();
  }

  /** @param {Pane} pane @param {View} view */
  show(pane, view) {
    const { ledger } = this._answers;
    return html`<div class="trust" data-pane=${pane}>${ledger ? ledgerTotals(ledger) : nothing}${this._table(pane, view)}</div>`;
  }

  /** @param {Pane} pane @param {View} view */
  _table(pane, view) {
    const { rows, missing, sources, rejections, ledger } = this._answers;
    const choose = (/** @type {string} */ reason) => {
      this._reason = reason;
      this._changed();
    };
    const waiting = html`<p class="empty">${deskWords.asking}</p>`;
    if (pane === "ledger" && rows && ledger) return html`${kindTable(rows, view, rows.length >= ROWS_MOST)}${bridgeTable(ledger.bridges, view)}`;
    if (pane === "ledger") return waiting;
    if (pane === "missing") return missing ? missingTable(missing, view) : waiting;
    if (pane === "clocks") return sources ? clockTable(sources, view) : waiting;
    const counts = { ...ledger?.by_reason, ...(ledger?.too_late ? { too_late: ledger.too_late } : {}) };
    return rejections ? rejectionTable(rejections, counts, view, this._reason, choose) : waiting;
  }
}
