// @ts-check
// What the address says about this page: language, theme, token; and how it asks the gateway.

const query = new URLSearchParams(location.search);

/** @type {import("./types").Lang} */
export const lang = query.get("lang") === "en" ? "en" : "vi";
export const token = query.get("token") ?? "";
export const wallName = query.get("wall") ?? "overview";

/** Put language and theme onto the page. @param {string[]} themes the first is the default */
export function dress(themes) {
  const asked = query.get("theme") ?? "";
  document.documentElement.lang = lang;
  document.documentElement.dataset.theme = themes.includes(asked) ? asked : themes[0];
}

/**
 * An address of the gateway with the page's token.
 * @param {string} path @param {Record<string, string>} [parameters] @param {"http" | "ws"} [scheme]
 */
export function address(path, parameters = {}, scheme = "http") {
  const made = new URL(path, location.href);
  if (scheme === "ws") made.protocol = made.protocol === "https:" ? "wss:" : "ws:";
  for (const [name, value] of Object.entries(parameters)) made.searchParams.set(name, value);
  if (token) made.searchParams.set("token", token);
  return made.href;
}

/** JSON of the API; null where it could not be had. @param {string} path @param {Record<string, string>} [parameters] */
export async function ask(path, parameters) {
  try {
    const answer = await fetch(address(`api/${path}`, parameters));
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

/** JSON of the API, or what was said instead, in the page's language. @param {string} path @param {Record<string, string>} [parameters] @returns {Promise<{answer: any, error: string}>} */
export async function askOr(path, parameters) {
  try {
    const answer = await fetch(address(`api/${path}`, parameters));
    const said = await answer.json().catch(() => null);
    return answer.ok ? { answer: said, error: "" } : { answer: null, error: said?.detail?.[lang] ?? `HTTP ${answer.status}` };
  } catch {
    return { answer: null, error: lang === "en" ? "the server cannot be reached" : "không kết nối được với máy chủ" };
  }
}

/** The page's element; a page without it is broken. @param {string} selector @returns {HTMLElement} */
export function one(selector) {
  const found = document.querySelector(selector);
  if (!found) throw new Error(`no ${selector}`);
  return /** @type {HTMLElement} */ (found);
}

/** An element with a class. @param {string} tag @param {string} name @param {Element} [parent] @returns {HTMLElement} */
export function made(tag, name, parent) {
  const element = document.createElement(tag);
  element.className = name;
  parent?.append(element);
  return element;
}

/** Write only what changed: the DOM is left alone otherwise. @param {Node} node @param {string} text */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** @param {HTMLElement | SVGElement} element @param {string} name @param {string} value */
export function tag(element, name, value) {
  if (element.dataset[name] !== value) element.dataset[name] = value;
}
