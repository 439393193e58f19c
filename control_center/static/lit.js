// @ts-check
// lit-html as vendored, and the marks as a template.
import { html, nothing, render } from "./vendor/lit-html/lit-html.js";
import { SHAPES } from "./mark.js";

export { html, nothing, render };

/** @param {string} severity */
export function markOf(severity) {
  const drawn = SHAPES[severity] ?? { shape: "", glyph: "" };
  return html`<svg class="mark" data-sev=${severity} viewBox="0 0 24 24" aria-hidden="true"><path class="shape" fill-rule="evenodd" d=${drawn.shape}></path><path class="glyph" fill-rule="evenodd" d=${drawn.glyph}></path></svg>`;
}
