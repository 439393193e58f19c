// @ts-check
// What a person does: sent to the gateway; the new state is shown when the live channel brings it, not before.
import { address, lang } from "./page.js";
import { deskWords } from "./desk_words.js";

/** @typedef {{name: string, role: string, csrf: string}} Me */

/** Who is logged in; leads to the login page where nobody is. @returns {Promise<Me | null>} */
export async function whoAmI() {
  try {
    const answer = await fetch(address("api/me"));
    if (answer.ok) return await answer.json();
    if (answer.status === 401) leave();
  } catch {
    // The live channel says that the server is away, and asks again when it is back.
  }
  return null;
}

/** @param {Me} me */
export function mayAct(me) {
  return ["operator", "supervisor", "admin"].includes(me.role);
}

/** Post a command. @param {Me} me @param {string} path @param {object} [body] @returns {Promise<string>} words of an error, or "" */
export async function command(me, path, body) {
  try {
    const answer = await fetch(address(`api/${path}`), {
      method: "POST", headers: { "X-CSRF-Token": me.csrf, "Content-Type": "application/json" }, body: body ? JSON.stringify(body) : "",
    });
    if (answer.ok) return "";
    if (answer.status === 401) leave();
    const said = await answer.json().catch(() => null);
    return said?.detail?.[lang] ?? `HTTP ${answer.status}`;
  } catch {
    return deskWords.offline;
  }
}

/** @param {Me | null} me */
export async function logOut(me) {
  if (me) await fetch(address("logout"), { method: "POST", headers: { "X-CSRF-Token": me.csrf } }).catch(() => null);
  leave();
}

export function leave() {
  location.assign(address("login", lang === "en" ? { lang } : {}));
}
