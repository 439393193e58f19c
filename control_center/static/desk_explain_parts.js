// @ts-check
// The parts of an explanation: value, formula and what it is held against, units, sources, panes, messages.
import { addressOf } from "./desk_address.js";
import { reasonWords } from "./desk_reasons.js";
import { deskWords, fill } from "./desk_words.js";
import { html, markOf, nothing } from "./lit.js";
import { lang } from "./page.js";
import { age, number, Times } from "./words.js";

/** @typedef {import("./types").Explanation} Explanation */
/** @typedef {import("./types").ExplainedMessage} Message */
/** @typedef {import("./desk_explain").View} View */

const ROWS_SHOWN = 12;
const UTC = new Times("UTC");

/** The value as it was said, and the value as it comes out again. @param {Explanation} told @param {View} view */
export function valuePart(told, view) {
  const { value, window, recomputed } = told;
  const state = value.state === "corrected" ? fill(deskWords.corrected, { n: number(value.revision) }) : deskWords[/** @type {"final"} */ (value.state)] ?? value.state;
  return html`<p class="value"><b>${shown(value.value, told)}</b> ${told.unit_of_measure[lang]} <span class="state" data-state=${value.state}>${state}</span></p>
    <p class="again" data-matches=${String(recomputed.matches)}>${recomputed.matches ? html`<i class="tick">✓</i>` : markOf("critical")}
      <span><b>${recomputed.matches ? deskWords.matches : deskWords.differs}</b> ${recomputed.matches ? nothing : `${shown(recomputed.value, told)} (n ${number(recomputed.n)}): ${recomputed.verdict[lang]}`}</span></p>
    <ul class="origin">
      <li>${fill(deskWords.readings, { n: number(value.n), m: number(told.sources.length) })}</li>
      <li>${span(window, view.times)} <span class="dim">(UTC ${span(window, UTC)})</span></li>
      ${window.looks_back_to < window.from ? html`<li>${fill(deskWords.looksBack, { time: view.times.near(window.looks_back_to, view.now) })}</li>` : nothing}
      <li>${fill(deskWords.asOf, { age: age(view.now - value.as_of) })}</li></ul>
    <nav class="moments"><a href=${addressOf(told.kpi, told.unit, window.to)}>${deskWords.linkHere}</a><a href=${addressOf(told.kpi, told.unit)}>${deskWords.toNewest}</a></nav>
    ${told.notes.map((note) => html`<p class="dim">${note[lang]}</p>`)}`;
}

/** @param {Explanation} told */
export function formulaPart({ formula }) {
  return html`<h3>${deskWords.formula}</h3><ul class="origin">${formula.lines.map((line) => html`<li>${line[lang]}</li>`)}
      ${formula.source ? html`<li class="dim">${formula.source}</li>` : nothing}</ul>
    ${formula.bounds.length ? html`<h3>${deskWords.bounds}</h3><ul class="bounds">${formula.bounds.map((bound) => html`<li data-bound=${bound.what}>
      ${bound.severity ? markOf(bound.severity) : html`<i class="goal">◎</i>`}<div><b>${bound.condition[lang]}</b> ${bound.name[lang]}
      <p class="dim">${[bound.owner[lang], bound.source].filter(Boolean).join(" · ")}</p></div></li>`)}</ul>` : nothing}`;
}

/** Which units made it, where it is of more than one. @param {Explanation} told */
export function unitsPart(told) {
  if (told.scope === "unit" || !told.units.length) return nothing;
  const line = (/** @type {import("./types").ExplainedUnit} */ part) => html`<li data-unit=${part.unit}><a href=${addressOf(told.kpi, part.unit, told.window.to)}>${part.name}</a>
    ${share(part.share)}<b>${shown(part.value, told)}</b><span class="dim">${fill(deskWords.shareOf, { n: number(part.n) })}</span></li>`;
  return html`<h3>${fill(deskWords.units, { n: number(told.units.length) })}</h3>${longList("shares", told.units, line)}`;
}

/** Who made it, and by how much. @param {Explanation} told @param {View} view */
export function sourcesPart(told, view) {
  const line = (/** @type {import("./types").ExplainedSource} */ source) => html`<li data-source=${source.source}><span class="code">${source.source}${told.scope === "unit" ? nothing : html` <span class="dim">${source.unit_name}</span>`}</span>
    ${share(source.share)}<b>${shown(source.value, told)}</b>
    <span class="dim">${fill(deskWords.shareOf, { n: number(source.n) })} · ${view.times.exact(source.newest, view.now)}${aheadWords(source.ahead_ms)}</span></li>`;
  return html`<h3>${fill(deskWords.sources, { n: number(told.sources.length) })}</h3>${told.sources.length ? longList("shares", told.sources, line) : html`<p class="dim">${deskWords.noSources}</p>`}`;
}

/** @param {Explanation} told @param {View} view */
export function panesPart(told, view) {
  const { panes, air } = told;
  const hourly = air.length ? html`<details class="air"><summary>${fill(deskWords.air, { n: number(air.length) })}</summary><table><tbody>${air.map((line) => html`<tr><td class="code">${line.source}</td><td>${line.quantity}</td>
    <td>${line.hours.map((hour) => (hour === null ? "–" : number(hour, 1))).join("  ")}</td><td class="count">${line.index === null ? "–" : number(line.index)}</td></tr>`)}</tbody></table></details>` : nothing;
  if (!panes.length) return hourly;
  return html`${hourly}<details class="panes"><summary>${fill(deskWords.panes, { n: number(panes.length) })}</summary><table><thead><tr>
      ${[deskWords.paneFrom, deskWords.quantity, "n", deskWords.sum, deskWords.least, deskWords.largest].map((head, at) => html`<th scope="col" class=${at > 1 ? "count" : ""}>${head}</th>`)}</tr></thead>
    <tbody>${panes.map((pane) => html`<tr><td>${span(pane, view.times)}</td><td>${pane.quantity}</td>
      ${[number(pane.n), ...[pane.sum, pane.min, pane.max].map((figure) => number(figure, 2))].map((text) => html`<td class="count">${text}</td>`)}</tr>`)}</tbody></table></details>`;
}

/** @param {Explanation} told @param {View} view */
export function messagesPart(told, view) {
  const { messages, outcomes, read } = told;
  const counts = Object.entries(outcomes).filter(([, count]) => count).map(([outcome, count]) => `${outcomeWords(outcome)} ${number(count)}`);
  return html`<details class="messages"><summary>${fill(deskWords.messages, { n: number(read.listed), m: number(read.listable) })}</summary>
    <p class="dim">${counts.join(" · ")}</p>${messages.map((message) => messageLine(message, view))}</details>
    <p class="dim read">${fill(deskWords.read, { records: number(read.records), messages: number(read.messages), decoded: number(read.decoded) })}</p>`;
}

/** @param {Message} message @param {View} view */
function messageLine(message, view) {
  const { readings, outcome } = message;
  const values = readings.map((reading) => `${reading.quantity} ${number(reading.value, Number.isInteger(reading.value) ? 0 : 2)}`).join(", ");
  return html`<details class="message" data-outcome=${outcome}><summary><b>${view.times.exact(message.received_at, view.now)}</b>
      <span class="code">${message.topic}</span><span>${values || message.step}</span><span class="state">${outcomeWords(outcome)}</span></summary>
    <p class="dim">${fill(deskWords.position, { partition: String(message.partition), offset: String(message.offset), ordinal: String(message.ordinal) })}
      ${message.reason ? html` · ${reasonWords(message.reason)} ${message.detail}` : nothing}</p>
    ${readings.map((reading) => html`<p>${reading.quantity} = ${reading.value} · ${fill(deskWords.observedAt, { time: view.times.exact(reading.time, view.now) })} · ${outcomeWords(reading.outcome)}</p>`)}
    <pre class="code">${message.payload}</pre>
    ${message.is_reduced ? html`<p class="dim">${deskWords.reduced}</p>` : nothing}
    ${message.linked.map((other) => html`<p>${fill(deskWords.linkedTo, { step: other.step, time: view.times.exact(other.time, view.now) })} <span class="code dim">${other.topic} · ${other.partition}/${other.offset}</span></p><pre class="code">${other.payload}</pre>`)}</details>`;
}

/** A bar as long as a share. @param {number} percent */
function share(percent) {
  return html`<span class="share"><svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect width=${Math.max(0.5, percent)} height="10"></rect></svg>${number(percent, 1)} %</span>`;
}

/** The first rows, and the others behind a click. @template T @param {string} name @param {T[]} rows @param {(row: T) => unknown} line */
function longList(name, rows, line) {
  const rest = rows.slice(ROWS_SHOWN);
  return html`<ul class=${name}>${rows.slice(0, ROWS_SHOWN).map(line)}</ul>
    ${rest.length ? html`<details><summary>${fill(deskWords.moreRows, { n: number(rest.length) })}</summary><ul class=${name}>${rest.map(line)}</ul></details>` : nothing}`;
}

/** "25/11/2026 05:50–05:55", with seconds where they matter. @param {{from: number, to: number}} range @param {Times} times */
function span({ from, to }, times) {
  const at = (/** @type {number} */ time) => (from % 60_000 || to % 60_000 ? times.second(time) : times.minute(time));
  const end = times.date(from) === times.date(to) ? `–${at(to)}` : ` – ${times.day(to, false)} ${at(to)}`;
  return `${times.day(from, false)} ${at(from)}${end}`;
}

/** @param {number | null} value @param {Explanation} told */
function shown(value, told) {
  return value === null ? "–" : number(value, told.decimals);
}

/** @param {number | null} ahead ms */
function aheadWords(ahead) {
  return ahead !== null && ahead > 5_000 ? ` · ${deskWords.clock.toLowerCase()} ${fill(deskWords.ahead, { age: age(ahead) })}` : "";
}

/** @param {string} outcome */
function outcomeWords(outcome) {
  return deskWords[/** @type {"counted"} */ (outcome)] ?? outcome;
}
