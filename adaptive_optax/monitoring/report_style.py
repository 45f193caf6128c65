"""The style and the script of the report; both stand in the page, which loads nothing."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #656d76; --line: #d8dee4;
  --paper: #ffffff; --alarm: #c21f1f; --c0: #0b62b8; --c1: #c4501b; --c2: #12805c; --c3: #a3348c;
  --c4: #8a6d00; --c5: #2f8fc4; --c6: #6b4fc9; --c7: #7a4a2a; }
@media screen and (prefers-color-scheme: dark) { :root { --ink: #e6e9ed;
  --soft: #9aa4af; --line: #343b44; --paper: #14181d; --alarm: #ff7b72; --c0: #62aef0;
  --c1: #f2935c; --c2: #4cc79a; --c3: #e58ad2;
  --c4: #d9b83b; --c5: #8fd0f5; --c6: #ad98f5; --c7: #cf9d78; } }
body { margin: 0 auto; max-width: 1400px; padding: 16px; background: var(--paper);
  color: var(--ink); font: 15px/1.45 system-ui, "Liberation Sans", sans-serif; }
h1 { font-size: 1.4em; margin: 0 0 .6em; overflow-wrap: anywhere; }
h2 { font-size: 1em; margin: 1.4em 0 .4em; }
ul { margin: 0; padding-left: 1.2em; overflow-wrap: anywhere; }
.alarm { color: var(--alarm); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 12px 4px 0; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th { color: var(--soft); font-weight: 500; }
th:first-child, td:first-child { text-align: left; }
.panels { display: grid; gap: 20px; margin-top: 20px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 400px), 1fr)); }
figure { margin: 0; min-width: 0; }
figcaption { display: flex; justify-content: space-between; gap: 1em; font-weight: 600;
  overflow-wrap: anywhere; }
figcaption span, .more, footer { color: var(--soft); font-weight: 400; }
svg { display: block; width: 100%; height: auto; touch-action: pan-y; }
svg text { font-size: 11px; fill: var(--soft); }
text.value { text-anchor: end; } text.step { text-anchor: middle; }
svg text.bad { fill: var(--alarm); font-size: 12px; font-weight: 700; text-anchor: middle; }
.grid { stroke: var(--line); } .guide { stroke: var(--soft); stroke-dasharray: 6 4; }
.cursor { stroke: var(--soft); visibility: hidden; }
.curve { fill: none; stroke-width: 1.4; stroke-linejoin: round; stroke-linecap: round; }
.legend { display: flex; flex-wrap: wrap; gap: 0 14px; list-style: none; padding: 0;
  font-size: .87em; }
.legend li { display: flex; align-items: center; gap: 5px; min-width: 0; }
.legend b { font-weight: 500; font-variant-numeric: tabular-nums; color: var(--soft); }
.legend svg { width: 22px; flex: none; }
.c0 { stroke: var(--c0); } .c1 { stroke: var(--c1); } .c2 { stroke: var(--c2); }
.c3 { stroke: var(--c3); } .c4 { stroke: var(--c4); } .c5 { stroke: var(--c5); }
.c6 { stroke: var(--c6); } .c7 { stroke: var(--c7); }
footer { margin-top: 24px; font-size: .87em; }
@media print { :root { color-scheme: light; } body { padding: 0; font-size: 12px; }
  .wide { overflow: visible; } th, td { white-space: normal; }
  .panels { grid-template-columns: 1fr 1fr; }
  figure, tr { break-inside: avoid; } .cursor { display: none; } }
"""

# Moving over a picture shows, in all of them, the step and each line's value nearest to it.
SCRIPT = """
"use strict";
const LEFT = %(left)d, RIGHT = %(right)d, BOTTOM = %(bottom)d, TOP = %(top)d, WIDTH = %(width)d;
const pictures = [...document.querySelectorAll("figure > svg")].map(svg => ({
  svg, cursor: svg.querySelector(".cursor"), step: svg.parentNode.querySelector("figcaption span"),
  words: [...svg.parentNode.querySelectorAll(".legend b")],
  lines: [...svg.querySelectorAll(".curve")].map(path =>
    [...path.getAttribute("d").matchAll(/[ML]([-\\d.]+) ([-\\d.]+)/g)].map(m => [+m[1], +m[2]]))
}));
for (const p of pictures) p.last = p.words.map(word => word.textContent);

function value(data, y) {
  const bottom = +data.bottom, low = +data.y0, high = +data.y1;
  if (bottom < BOTTOM && y > bottom + 4) return 0;
  const found = low + (bottom - y) / (bottom - TOP) * (high - low);
  return data.log === "1" ? 10 ** found : found;
}
function nearest(line, x) {
  let low = 0, high = line.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (line[middle][0] < x) low = middle + 1; else high = middle;
  }
  if (low > 0 && x - line[low - 1][0] < line[low][0] - x) low -= 1;
  return line[low];
}
function show(x) {
  for (const p of pictures) {
    const data = p.svg.dataset, first = +data.x0, last = +data.x1;
    p.cursor.setAttribute("transform", `translate(${x} 0)`);
    p.cursor.style.visibility = "visible";
    p.step.textContent = "step " + Math.round(first + (x - LEFT) / (RIGHT - LEFT) * (last - first));
    p.lines.forEach((line, i) => {
      const point = line.length ? nearest(line, x) : null;
      p.words[i].textContent = point ? "≈ " + value(data, point[1]).toPrecision(3) : "";
    });
  }
}
function hide() {
  for (const p of pictures) {
    p.cursor.style.visibility = "hidden";
    p.step.textContent = "";
    p.words.forEach((word, i) => { word.textContent = p.last[i]; });
  }
}
for (const { svg } of pictures) {
  svg.addEventListener("pointermove", event => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * WIDTH;
    show(Math.min(RIGHT, Math.max(LEFT, x)));
  });
  svg.addEventListener("pointerleave", hide);
}
document.body.dataset.ready = pictures.length;
"""
