// @ts-check
// The login page: a plain form; this module only says what went wrong, and counts down where one must wait.
import { dress, lang, one, say } from "./page.js";

const EN = { title: "Operators’ desk", "name-label": "Account", "password-label": "Password", enter: "Log in", help: "No account, or password forgotten: ask the administrator." };
const WRONG = { vi: "Sai tên hoặc mật khẩu.", en: "Wrong name or password." };
const LOCKED = { vi: "Sai quá nhiều lần. Thử lại sau {n} giây.", en: "Too many failures. Try again in {n} s." };
const AGAIN = { vi: "Bây giờ có thể thử lại.", en: "You may try again now." };

dress(["dusk", "day", "night"]);
if (lang === "en") for (const [id, text] of Object.entries(EN)) say(one(`#${id}`), text);

const query = new URLSearchParams(location.search);
const button = /** @type {HTMLButtonElement} */ (one("#enter"));

/** @param {string} text */
function complain(text) {
  one("#error").hidden = false;
  say(one("#error"), text);
}

/** @param {number} until steady ms */
function countDown(until) {
  const left = Math.ceil((until - performance.now()) / 1000);
  button.disabled = left > 0;
  complain(left > 0 ? LOCKED[lang].replace("{n}", String(left)) : AGAIN[lang]);
  if (left > 0) setTimeout(() => countDown(until), 1000);
}

if (query.get("error") === "wrong") complain(WRONG[lang]);
if (query.get("error") === "locked") countDown(performance.now() + 1000 * Math.min(86_400, Number(query.get("wait")) || 60));
