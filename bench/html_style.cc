/* What the page looks like, and its few lines of script: it reads well without them. */
#include "bench/html_parts.h"

const char page_style[] = R"(
:root { --paper: #fdfdfc; --ink: #1c1f23; --soft: #5a6068; --line: #dcdfe3; --faint: #eceef0; --roof: #6a717a;
  --k0: #1a63bd; --k1: #b8500a; --k3: #24773a; --k4: #8a3a9e; --warn: #8a4b00; }
@media screen and (prefers-color-scheme: dark) {
  :root { --paper: #15171a; --ink: #e7e9ec; --soft: #a2a9b2; --line: #33383e; --faint: #24282d; --roof: #8e96a0;
    --k0: #6daeff; --k1: #ff9a56; --k3: #62c47c; --k4: #d48fe8; --warn: #f0b35e; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1420px; padding: 1.2rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif; }
h1, h2, h3 { line-height: 1.25; font-weight: 600; margin: 0; }
h1 { font-size: 1.5rem; }
h1 span { font-weight: 400; color: var(--soft); }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .6rem; }
h3 { font-size: 1rem; }
p { margin: .4rem 0; max-width: 46rem; }
header p, section > p { color: var(--soft); max-width: 60rem; }
.warnings { margin: .8rem 0; padding: .5rem .9rem .5rem 1.9rem; border-left: 3px solid var(--warn); color: var(--warn); }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: .5rem 2rem; margin: 1rem 0; }
dt { color: var(--soft); font-size: .8rem; }
dd { margin: 0; overflow-wrap: anywhere; }
summary { cursor: pointer; color: var(--soft); }
:focus-visible { outline: 2px solid var(--k0); outline-offset: 2px; }

.marks { position: absolute; width: 0; height: 0; }
.mark { transform: scale(var(--size, .9)); fill: currentColor; stroke: var(--paper); stroke-width: .8; }
.mark .hollow { fill: none; stroke: currentColor; stroke-width: 1.7; }
.k0 { color: var(--k0); } .k1, .k2 { color: var(--k1); } .k3 { color: var(--k3); } .k4 { color: var(--k4); }
.k5, .k7 { color: var(--soft); } .k6 { color: var(--ink); }
.legend { border: 0; padding: 0; margin: 0 0 .6rem; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; }
.legend legend { position: absolute; clip-path: inset(50%); }
.legend label { display: inline-flex; align-items: center; gap: .35rem; cursor: pointer; }
.legend svg { width: 16px; height: 16px; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 38rem), 1fr)); gap: 1.2rem 2rem; }
.roofline { position: relative; margin: 0; max-width: 960px; break-inside: avoid; }
.roofline figcaption { font-weight: 600; }
.roofline svg { display: block; width: 100%; height: auto; touch-action: pan-y pinch-zoom; }
.roofline text { font-size: 13px; fill: var(--soft); font-variant-numeric: tabular-nums; }
.roofline .below { text-anchor: middle; dominant-baseline: hanging; }
.roofline .left { text-anchor: end; dominant-baseline: central; }
.roofline .right { text-anchor: end; }
.roofline .roofname { fill: var(--ink); paint-order: stroke; stroke: var(--paper); stroke-width: 3px; stroke-linejoin: round; text-anchor: middle; }
.roofline .value { fill: var(--soft); }
.roofline .roofname.right { text-anchor: end; }
.grid { stroke: var(--faint); }
.axis { stroke: var(--roof); }
.edge { stroke: var(--line); }
.roof, .leader { stroke: var(--roof); fill: none; }
.roof { stroke-width: 1.5; }
.leader { stroke-width: .7; }
.dashed { stroke-dasharray: 5 4; }
.point { outline: none; }
.pin { fill: none; stroke: var(--ink); stroke-width: 1.5; pointer-events: none; }
.tip { position: absolute; z-index: 1; margin: 0; padding: .35rem .6rem; width: max-content; max-width: 100%; white-space: pre-line; pointer-events: none;
  background: var(--paper); border: 1px solid var(--roof); border-radius: 4px; font-size: 13px; line-height: 1.4; overflow-wrap: anywhere; }
.reading { max-width: 46rem; }
.reading p { color: var(--soft); }

.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 400; }
.rows, .limits { font-size: 13px; }
.rows th, .rows td, .limits th, .limits td { padding: .15rem .7rem .15rem 0; border-bottom: 1px solid var(--faint); white-space: nowrap; text-align: right; }
.rows thead th, .limits thead th { color: var(--soft); vertical-align: bottom; border-color: var(--line); }
.rows thead th { white-space: normal; }
.rows :is(th, td):is(:nth-child(-n+3), :nth-child(10), :nth-child(12)), .limits th:first-child { text-align: left; }
.limits [colspan] { padding-top: .8rem; white-space: normal; }
.rows tbody tr:hover { background: var(--faint); }
.rows button { all: unset; cursor: pointer; }
.rows button:focus-visible { outline: 2px solid var(--k0); }
.rows [aria-sort=ascending] button::after { content: "\a0\2191"; }
.rows [aria-sort=descending] button::after { content: "\a0\2193"; }
input[type=search] { font: inherit; color: inherit; background: transparent; border: 1px solid var(--roof); border-radius: 4px; padding: .15rem .5rem; }

.kernels { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); gap: 1.1rem 2.2rem; align-items: start; }
.kernel { break-inside: avoid; }
.bars { width: 100%; font-size: 13px; line-height: 1.35; }
.bars caption { text-align: left; color: var(--soft); }
.bars caption b { color: var(--ink); font-weight: 600; font-size: 14px; }
.bars th { width: 5.2rem; }
.bars td { text-align: right; padding: 0; }
.bars td:nth-child(2) { border-left: 1px solid var(--roof); }
.bars td:nth-child(3) { width: 3.8rem; }
.bars td:nth-child(4) { width: 3.4rem; color: var(--soft); }
.bars i { display: block; height: .7rem; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.own { background: var(--k0); }
.peer { background: var(--roof); }
.kernel details .bars { margin: .5rem 0; }

@media (min-width: 561px) { .roofline .title.right { transform: translateY(-14px); } }
@media (max-width: 560px) {
  .roofline text { font-size: 23px; }
  .roofline .more { display: none; }
  .roofline { --size: 1.4; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  .tools, .tip, .legend input { display: none; }
  .wide { overflow: visible; }
  .rows { font-size: 7pt; }
  .charts { display: block; }
  .roofline { max-width: 17cm; }
  h2, h3, section > p { break-after: avoid; }
}
:root:has(#show0:not(:checked)) .point.k0, :root:has(#show1:not(:checked)) .point.k1, :root:has(#show2:not(:checked)) .point.k2,
:root:has(#show3:not(:checked)) .point.k3, :root:has(#show4:not(:checked)) .point.k4, :root:has(#show5:not(:checked)) .point.k5,
:root:has(#show6:not(:checked)) .point.k6, :root:has(#show7:not(:checked)) .point.k7 { display: none; }
)";

const char page_script[] = R"js(
'use strict';

// A chart takes the focus once; arrow keys go from point to point, and the pointer finds the nearest.
for (const figure of document.querySelectorAll('.roofline')) {
  const svg = figure.querySelector('svg'), tip = figure.querySelector('.tip'), pin = svg.querySelector('.pin');
  const points = [...svg.querySelectorAll('.point')].map(element => {
    const title = element.querySelector('title'), text = title.textContent;
    const [x, y] = element.getAttribute('transform').match(/[\d.]+/g).map(Number);
    title.remove(); // or the browser would show it as well
    element.setAttribute('aria-label', text.replaceAll('\n', ', '));
    element.setAttribute('tabindex', -1);
    return {element, text, x, y};
  }).sort((a, b) => a.x - b.x || a.y - b.y);
  if (points.length) points[0].element.setAttribute('tabindex', 0);

  const shown = () => points.filter(p => getComputedStyle(p.element).display !== 'none');
  const hide = () => { tip.hidden = true; pin.innerHTML = ''; };
  const show = p => {
    const {l, e} = p.element.dataset, box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
    pin.innerHTML = (l ? `<path d="M${p.x} ${p.y}V${l}m-8 0h16"/>` : '') + (e ? `<circle cx="${p.x}" cy="${e}" r="5"/>` : '') +
      `<circle cx="${p.x}" cy="${p.y}" r="9"/>`;
    tip.textContent = p.text;
    tip.hidden = false;
    tip.style.left = 0; // so that it is as wide as it wants to be when it is measured
    const x = p.x * scale, y = box.top - figure.getBoundingClientRect().top + p.y * scale;
    tip.style.left = Math.max(0, Math.min(box.width - tip.offsetWidth, x - tip.offsetWidth / 2)) + 'px';
    tip.style.top = (p.y < svg.viewBox.baseVal.height / 2 ? y + 16 : y - 16 - tip.offsetHeight) + 'px';
  };
  const near = event => {
    const box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
    const distance = p => Math.hypot(p.x * scale - (event.clientX - box.left), p.y * scale - (event.clientY - box.top));
    const best = shown().reduce((a, b) => !a || distance(b) < distance(a) ? b : a, null);
    if (best && distance(best) < 24) show(best); else hide();
  };
  svg.addEventListener('pointermove', near);
  svg.addEventListener('pointerdown', near);
  svg.addEventListener('pointerleave', event => { if (event.pointerType === 'mouse') hide(); });
  svg.addEventListener('focusin', event => {
    const p = points.find(p => p.element === event.target);
    if (p) show(p);
  });
  svg.addEventListener('focusout', hide);
  svg.addEventListener('keydown', event => {
    const list = shown(), at = list.findIndex(p => p.element === event.target);
    const to = {ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1, Home: 0, End: list.length - 1}[event.key];
    if (event.key === 'Escape') hide();
    if (to === undefined || !list[to]) return;
    event.preventDefault();
    event.target.setAttribute('tabindex', -1);
    list[to].element.setAttribute('tabindex', 0);
    list[to].element.focus();
  });
}

// The table: a click on a heading sorts, words that are typed select.
const table = document.querySelector('.rows'), body = table.tBodies[0], rows = [...body.rows];
const read = (row, column) => {
  const text = row.cells[column].textContent, value = parseFloat(text);
  return column < 3 || Number.isNaN(value) ? text : value;
};
const compare = (a, b) => a === '' || b === '' ? (a === '') - (b === '')
  : typeof a === 'number' ? b - a : a.localeCompare(b, 'en', {numeric: true}); // numbers: the largest first
for (const head of table.tHead.rows[0].cells) {
  const button = document.createElement('button'), column = head.cellIndex;
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener('click', () => {
    const first = column < 3 ? 'ascending' : 'descending', other = column < 3 ? 'descending' : 'ascending';
    const order = head.getAttribute('aria-sort') === first ? other : first;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute('aria-sort');
    head.setAttribute('aria-sort', order);
    rows.sort((a, b) => {
      const x = read(a, column), y = read(b, column), sign = order === first || x === '' || y === '' ? 1 : -1;
      return sign * compare(x, y);
    });
    body.append(...rows);
  });
}
const search = document.querySelector('.tools'), count = search.querySelector('output');
search.hidden = false;
search.querySelector('input').addEventListener('input', event => {
  const words = event.target.value.toLowerCase().split(/\s+/);
  for (const row of rows) row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));
  count.textContent = rows.filter(row => !row.hidden).length + ' of ' + rows.length;
});
)js";
