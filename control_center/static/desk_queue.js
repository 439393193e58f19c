// @ts-check
// The queue: one table, unclaimed first, then the worst, then the newest.
import { isOverdue, isReturned, isUnclaimed } from "./alerts.js";
import { deskWords, fill } from "./desk_words.js";
import { html, markOf, nothing } from "./lit.js";
import { age, own, words } from "./words.js";

/** @typedef {import("./types").Alert} Alert */
/** @typedef {{now: number, times: import("./words").Times, chosen: string, waiting: Map<string, {op: string, since: number}>,
 *             canAct: boolean, nameOf: (alert: Alert) => string, choose: (id: string) => void, take: (id: string) => void}} Queue */

/** @param {Alert[]} alerts @param {Queue} queue @param {string} empty */
export function queueTable(alerts, queue, empty) {
  const heads = ["severity", "at", "unit", "field", "content", "state", "who", "due"];
  return html`<table class="queue">
    <thead><tr>${heads.map((name) => html`<th scope="col">${deskWords[/** @type {"at"} */ (name)]}</th>`)}<th></th></tr></thead>
    <tbody>${alerts.map((alert) => row(alert, queue))}</tbody>
  </table>${alerts.length ? nothing : html`<p class="empty">${empty}</p>`}`;
}

/** @param {Alert} alert @param {Queue} queue */
function row(alert, queue) {
  const { now, times } = queue;
  return html`<tr data-alert=${alert.id} data-sev=${alert.severity} data-state=${alert.state} data-chosen=${String(alert.id === queue.chosen)}
      aria-selected=${String(alert.id === queue.chosen)} @click=${() => queue.choose(alert.id)}>
    <td><span class="level">${markOf(alert.severity)}${words[alert.severity]}</span></td>
    <td><b>${times.short(alert.raised_at, now)}</b> <span class="dim">${age(now - alert.raised_at)}</span></td>
    <td>${queue.nameOf(alert)}</td>
    <td>${own(alert, "field")}</td>
    <td class="content"><a href="#alert/${alert.id}">${headlineOf(alert)}</a></td>
    <td>${stateOf(alert, queue)}</td>
    <td>${alert.acked_by || "–"}</td>
    <td>${dueOf(alert, now, times)}</td>
    <td class="acts">${isUnclaimed(alert) && queue.canAct && !queue.waiting.has(alert.id)
      ? html`<button class="take" @click=${(/** @type {Event} */ event) => { event.stopPropagation(); queue.take(alert.id); }}>${deskWords.take}</button>` : nothing}</td>
  </tr>`;
}

/** @param {Alert} alert */
export function headlineOf(alert) {
  return own(alert, "headline") || own(alert, "name") || alert.rule;
}

/** @param {Alert} alert @param {{now: number, waiting: Map<string, {op: string, since: number}>}} queue */
export function stateOf(alert, queue) {
  const waiting = queue.waiting.get(alert.id);
  if (waiting) return html`<span class="state waiting">${queue.now - waiting.since > 3000 ? deskWords.recorded : deskWords.sending}</span>`;
  return html`<span class="state" data-unclaimed=${String(isUnclaimed(alert))}>${deskWords[/** @type {"closed"} */ (alert.state)] ?? alert.state}</span>`;
}

/** Until when it must be taken; what has been taken is not late any more. @param {Alert} alert @param {number} now @param {import("./words").Times} times */
function dueOf(alert, now, times) {
  if (!isUnclaimed(alert) || isReturned(alert)) return html`<span class="dim">${times.short(alert.due, now)}</span>`;
  const text = fill(isOverdue(alert, now) ? deskWords.over : deskWords.left, { age: age(Math.abs(alert.due - now)) });
  return html`<span class="due" data-overdue=${String(isOverdue(alert, now))}>${times.short(alert.due, now)} · ${text}</span>`;
}
