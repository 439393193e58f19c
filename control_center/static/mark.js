// @ts-check
// Marks: shape and glyph tell the severity without colour.
const SVG = "http://www.w3.org/2000/svg";

/** @type {Record<string, {shape: string, glyph: string}>} */
export const SHAPES = {
  critical: {
    shape: "M7.4 1h9.2L23 7.4v9.2L16.6 23H7.4L1 16.6V7.4z",
    glyph: "M10.3 5h3.4l-.6 8.8h-2.2zM12 15.4a1.9 1.9 0 1 1 0 3.8a1.9 1.9 0 1 1 0-3.8z",
  },
  warning: {
    shape: "M12 1.6 23.4 22.2H.6z",
    glyph: "M10.5 8.2h3l-.5 7h-2zM12 16.4a1.65 1.65 0 1 1 0 3.3a1.65 1.65 0 1 1 0-3.3z",
  },
  notice: { shape: "M12 .8 23.2 12 12 23.2.8 12z", glyph: "" },
  nodata: {
    shape: "M2 2h20v20H2zM4.6 4.6v14.8h14.8V4.6z",
    glyph: "M17.8 4.4l1.8 1.8L6.2 19.6l-1.8-1.8z",
  },
  "": { shape: "", glyph: "" },
};

/** A mark that `setMark` changes. @param {string} [severity] @returns {SVGSVGElement} */
export function newMark(severity = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "mark");
  svg.setAttribute("aria-hidden", "true");
  for (const name of ["shape", "glyph"]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", name);
    path.setAttribute("fill-rule", "evenodd");
    svg.append(path);
  }
  setMark(svg, severity);
  return svg;
}

/** @param {SVGSVGElement} mark @param {string} severity "" shows nothing */
export function setMark(mark, severity) {
  if (mark.dataset.sev === severity) return;
  mark.dataset.sev = severity;
  const drawn = SHAPES[severity] ?? /** @type {{shape: string, glyph: string}} */ (SHAPES[""]);
  mark.children[0]?.setAttribute("d", drawn.shape);
  mark.children[1]?.setAttribute("d", drawn.glyph);
}
