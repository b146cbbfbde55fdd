// The list of positions: one row each, the nearest to harm first, kept and moved rather than made anew.

import { at, el, mark, say, svg } from "./dom.js";
import { health, percent, price } from "./words.js";

const FULL = 0.6; // the bar is full where collateral may fall by so much
const FIRST = 40; // a screenful is drawn at once, the rest in pieces that leave the page free to answer
const PIECE = 120;
const rows = new Map();
let picked = null;
let onPick = () => {};
let told = [];
let turn = 0;

export function start(pick) {
  onPick = pick;
  at("filter").addEventListener("input", filter);
}

// 1 - 1/health is the fall of the collateral at which health is 1; as a share of the bar.
export const place = (value) => (value === null || value === undefined ? 1 : Math.min(1, Math.max(0, (1 - 1 / value) / FULL)));

export function show(positions, policies) {
  told = positions;
  const mine = ++turn;
  const here = new Set(positions.map((p) => p.id));
  for (const [id, row] of rows) {
    if (here.has(id)) continue;
    row.li.remove();
    rows.delete(id);
  }
  const piece = (first, last) => {
    if (mine !== turn) return; // a newer block is being drawn
    draw(positions, policies, first, last);
    if (last < positions.length) setTimeout(() => piece(last, last + PIECE), 0);
    filter();
  };
  piece(0, FIRST);
}

function draw(positions, policies, first, last) {
  const list = at("positions");
  let place = list.children[first] || null;
  for (const p of positions.slice(first, last)) {
    let row = rows.get(p.id);
    if (!row) rows.set(p.id, (row = made(p.id)));
    fill(row, p, policies[`${p.chain}/${p.policy}`]);
    if (place === row.li) place = place.nextElementSibling;
    else list.insertBefore(row.li, place);
  }
}

export function pick(id) {
  if (picked && rows.has(picked)) mark(rows.get(picked).name, "aria-pressed", "false");
  picked = id;
  if (rows.has(id)) mark(rows.get(id).name, "aria-pressed", "true");
}

function made(id) {
  const row = {
    level: el("span", { class: "level" }),
    name: el("button", { type: "button", class: "name", "aria-pressed": "false" }),
    venue: el("span", { class: "venue" }),
    bar: svg("rect", { class: "fill", x: 0, y: 3, height: 4, width: 0, rx: 2 }),
    was: svg("rect", { class: "was", y: 1, height: 8, width: 0.6 }),
    health: el("span", { class: "health" }),
    distance: el("span", { class: "distance" }),
    old: el("span", { class: "old" }),
    lines: {},
  };
  const gauge = svg(
    "svg",
    { class: "gauge", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "track", x: 0, y: 3, width: 100, height: 4, rx: 2 }),
    row.bar,
    row.was,
  );
  for (const line of ["emergency", "trigger", "warn"]) {
    row.lines[line] = svg("rect", { class: `line line-${line}`, y: 0.5, height: 9, width: 0.5 });
    gauge.append(row.lines[line]);
  }
  const who = el("span", { class: "who" }, row.name, row.venue);
  const measure = el("span", { class: "measure" }, gauge, row.distance);
  row.li = el("li", { class: "row", "data-id": id }, row.level, who, measure, row.health, row.old);
  row.name.addEventListener("click", () => onPick(id));
  return row;
}

function fill(row, p, policy) {
  const known = p.level !== "UNKNOWN";
  mark(row.li, "data-level", p.level);
  mark(row.level, "data-level", p.level);
  say(row.level, p.level);
  say(row.name, p.label);
  say(row.venue, `${p.venue}${p.chain ? ` \u00b7 ${p.chain}` : ""}`);
  say(row.health, known ? health(p.health) : "\u2013");
  say(row.distance, known ? distance(p) : "");
  const what = known ? p.why || "" : unknown(p);
  say(row.old, p.stopped ? `${halted(p)}${what ? `; ${what}` : ""}` : what);
  mark(row.li, "data-stopped", p.stopped ? "yes" : null);
  mark(row.bar, "width", known ? (100 * place(p.health)).toFixed(2) : 0);
  const was = !known && p.known && p.known.health !== null;
  mark(row.was, "x", was ? (100 * place(p.known.health)).toFixed(2) : -5);
  for (const [name, line] of Object.entries(row.lines)) {
    mark(line, "x", policy ? (100 * place(policy[name])).toFixed(2) : -5);
  }
}

function distance(p) {
  if (p.health !== null && p.health < 1) return "liquidatable now";
  if (p.distance === null || p.of === null) return "";
  const alone = `${p.of} ${percent(p.distance)} \u2192 ${price(p.at_price)}`;
  if (p.own.length === 1 && p.own[0][0] === p.of) return alone;
  return `all collateral ${percent(1 / p.health - 1)} \u00b7 alone ${p.of} ${percent(p.distance)}`;
}

export const halted = (p) => `STOPPED (${p.stopped.code}): ${p.stopped.why}`;

export function unknown(p) {
  const known = p.known;
  if (!known) return `not known: ${p.why}`;
  return `not known: ${p.why}; OLD: ${known.level} at ${health(known.health)}, block ${known.block}`;
}

function filter() {
  const wanted = at("filter").value.trim().toLowerCase();
  let shown = 0;
  for (const p of told) {
    const hit = !wanted || `${p.label} ${p.venue} ${p.chain} ${p.level}${p.stopped ? " stopped" : ""}`.toLowerCase().includes(wanted);
    const row = rows.get(p.id);
    if (row && row.li.hidden === hit) row.li.hidden = !hit;
    shown += hit;
  }
  say(at("count"), wanted ? `${shown} of ${told.length}` : `${told.length}`);
}
