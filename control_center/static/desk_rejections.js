// @ts-check
// What was not counted, and why: messages that could not be used, and those that came too late.
import { reasonWords } from "./desk_reasons.js";
import { deskWords } from "./desk_words.js";
import { html, nothing } from "./lit.js";
import { number, words } from "./words.js";

const decoder = new TextDecoder("utf-8");

/**
 * @param {any[]} rows @param {Record<string, number>} counts by reason, of all that were @param {import("./desk_trust").View} view
 * @param {string} chosen the reason looked at, "" for all @param {(reason: string) => void} choose
 */
export function rejectionTable(rows, counts, view, chosen, choose) {
  const shown = chosen ? rows.filter((row) => row.reason === chosen) : rows;
  const reasons = Object.entries(counts).sort((one, other) => other[1] - one[1]);
  const chip = (/** @type {string} */ reason, /** @type {string} */ text, /** @type {number | null} */ count) =>
    html`<button data-reason=${reason} aria-pressed=${String(reason === chosen)} @click=${() => choose(reason)}>${text} ${count === null ? nothing : html`<b>${number(count)}</b>`}</button>`;
  return html`<h3>${deskWords.notCounted}</h3>
    ${reasons.length ? html`<div class="reasons">${chip("", deskWords.everyReason, null)}
      ${reasons.map(([reason, count]) => chip(reason, reasonWords(reason), count))}</div>` : nothing}
    <table class="rejections"><thead><tr>${["time", "reason", "topic", "detail", "payload", "place"].map(
      (name) => html`<th scope="col">${deskWords[/** @type {"time"} */ (name)]}</th>`)}</tr></thead>
    <tbody>${shown.map((row) => html`<tr data-reason=${row.reason}>
      <td><b>${view.times.exact(row.time, view.now)}</b></td><td>${reasonWords(row.reason)}<br><small class="code dim">${row.reason}</small></td><td class="code">${row.topic}</td>
      <td>${row.detail}</td><td class="code">${preview(row.payload)}</td><td class="dim">${row.address || `${row.partition ?? "–"}/${row.ordinal ?? "–"}`}</td></tr>`)}</tbody></table>
    ${shown.length ? nothing : html`<p class="empty">${rows.length ? deskWords.noneOfThese : deskWords.noRejections}</p>`}
    <p class="note">${deskWords.rejectionNote.replace("{late}", words.too_late.toLowerCase())}</p>`;
}

/** The first 120 letters of a payload; what is no text is shown as such. @param {string} payload base64 */
function preview(payload) {
  const bytes = Uint8Array.from(atob(payload), (letter) => letter.charCodeAt(0));
  // eslint-disable-next-line no-control-regex
  const text = decoder.decode(bytes.subarray(0, 480)).replace(/[\u0000-\u001f\u007f]/g, "·");
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}
