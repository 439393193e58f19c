// @ts-check
// Devices whose clocks are ahead, and those behind or far away: by their least delayed messages of the last hour.
import { deskWords, fill } from "./desk_words.js";
import { html, markOf, nothing } from "./lit.js";
import { age, number, words } from "./words.js";

export const AHEAD_MS = 5_000;
export const BEHIND_MS = 300_000;
const LISTED_MOST = 500;

/** @typedef {{unit: string, kind: string, source: string, skew_ms: number | null, observed: number, last_seen: number, restarts: number}} Source */

/** More than 5 s ahead, or more than 5 min behind. @param {Source} source */
export function isOff({ skew_ms: skew }) {
  return skew !== null && (skew > AHEAD_MS || skew < -BEHIND_MS);
}

/** The worst first; ahead before behind: a number from the future is the worse mistake. @param {Source[]} sources */
export function offClocks(sources) {
  const skew = (/** @type {Source} */ source) => source.skew_ms ?? 0;
  return sources.filter(isOff).sort((one, other) => Number(skew(other) > 0) - Number(skew(one) > 0) || Math.abs(skew(other)) - Math.abs(skew(one)));
}

/** @param {Source[]} sources @param {import("./desk_trust").View} view */
export function clockTable(sources, view) {
  const off = offClocks(sources);
  const known = sources.filter((source) => source.skew_ms !== null).length;
  const heads = [deskWords.unit, deskWords.kind, deskWords.sourceName, deskWords.clock, deskWords.newestTime, deskWords.lastHeard, deskWords.meaning];
  return html`<h3>${fill(deskWords.clocksOff, { n: number(off.length), m: number(known), k: number(sources.length - known) })}</h3>
    <table class="clocks"><thead><tr>${heads.map((head) => html`<th scope="col">${head}</th>`)}</tr></thead>
    <tbody>${off.slice(0, LISTED_MOST).map((source) => row(source, view))}</tbody></table>
    ${off.length ? nothing : html`<p class="empty">${deskWords.clocksRight}</p>`}
    ${off.length > LISTED_MOST ? html`<p class="empty">${words.more.replace("{n}", number(off.length - LISTED_MOST))}</p>` : nothing}
    <p class="note">${deskWords.clockNote}</p>`;
}

/** @param {Source} source @param {import("./desk_trust").View} view */
function row(source, view) {
  const skew = source.skew_ms ?? 0;
  const way = skew > 0 ? "ahead" : "behind";
  return html`<tr data-source=${`${source.unit}/${source.kind}/${source.source}`} data-clock=${way}>
    <td>${view.unitOf(source.unit)}</td><td class="code">${source.kind}</td><td class="code">${source.source}</td>
    <td class="off"><span>${markOf(skew > 0 ? "warning" : "notice")}<b>${fill(deskWords[way], { age: age(Math.abs(skew)) })}</b></span></td>
    <td>${source.observed > 0 ? view.times.exact(source.observed, view.now) : "–"}</td><td>${view.times.exact(source.last_seen, view.now)}</td>
    <td class="dim">${skew > 0 ? deskWords.aheadMeans : deskWords.behindMeans}</td></tr>`;
}
