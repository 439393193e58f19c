// @ts-check
// Sources that number their messages, of which some never came: how many, and between which times.
import { deskWords, fill } from "./desk_words.js";
import { html, markOf, nothing } from "./lit.js";
import { number, words } from "./words.js";

const GAPS_SHOWN = 3;

/** @typedef {{first: number, last: number, count: number, after: number, before: number}} Gap */
/** @typedef {{unit: string, kind: string, source: string, sent: number, numbered: number, unreadable: number, missing: number, restarts: number, gaps: Gap[]}} Missing */

/** @param {Missing[]} rows @param {import("./desk_trust").View} view */
export function missingTable(rows, view) {
  const heads = [deskWords.unit, deskWords.kind, deskWords.sourceName, words.sent, words.arrived, words.missing, deskWords.restarts, deskWords.gaps];
  return html`<h3>${deskWords.missingBySource}</h3><table class="missing">
    <thead><tr>${heads.map((head, at) => html`<th scope="col" class=${at > 2 && at < 7 ? "count" : ""}>${head}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr data-source=${`${row.unit}/${row.kind}/${row.source}`}>
      <td>${view.unitOf(row.unit)}</td><td class="code">${row.kind}</td><td class="code">${row.source}</td>
      <td class="count">${number(row.sent)}</td><td class="count">${number(row.numbered + row.unreadable)}</td>
      <td class="count lost"><span>${markOf("warning")}<b>${number(row.missing)}</b></span><small class="dim">${number((100 * row.missing) / row.sent, 2)} %</small></td>
      <td class="count">${number(row.restarts)}</td><td>${gapList(row, view)}</td></tr>`)}</tbody></table>
    ${rows.length ? nothing : html`<p class="empty">${deskWords.nothingMissing}</p>`}
    <p class="note">${deskWords.missingNote}</p>`;
}

/** The newest gaps, and the others behind a click. @param {Missing} row @param {import("./desk_trust").View} view */
function gapList(row, view) {
  const gaps = [...row.gaps].sort((one, other) => other.last - one.last);
  const listed = gaps.reduce((sum, gap) => sum + gap.count, 0);
  const [shown, rest] = [gaps.slice(0, GAPS_SHOWN), gaps.slice(GAPS_SHOWN)];
  return html`<ul class="gaps">${shown.map((gap) => gapLine(gap, view))}</ul>
    ${rest.length ? html`<details><summary>${fill(deskWords.moreGaps, { n: number(rest.length) })}</summary><ul class="gaps">${rest.map((gap) => gapLine(gap, view))}</ul></details>` : nothing}
    ${listed < row.missing ? html`<p class="dim">${fill(deskWords.olderMissing, { n: number(row.missing - listed) })}</p>` : nothing}`;
}

/** @param {Gap} gap @param {import("./desk_trust").View} view */
function gapLine(gap, view) {
  const numbers = gap.first === gap.last ? `${gap.first}` : `${gap.first}–${gap.last}`;
  const at = (/** @type {number} */ time) => (time > 0 ? view.times.exact(time, view.now) : deskWords.timeUnknown);
  return html`<li><span class="code">№ ${numbers}</span> <b>${fill(deskWords.lost, { n: number(gap.count) })}</b>
    <span class="dim">${fill(deskWords.between, { from: at(gap.after), to: at(gap.before) })}</span></li>`;
}
