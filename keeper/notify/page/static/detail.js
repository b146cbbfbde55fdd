// One position in full: health over time, what two prices do to it together, and why all that was done.

import { ask, at, el, mark, say } from "./dom.js";
import { cell, health, percent, short, tokens, usd } from "./words.js";
import { halted, unknown } from "./positions.js";

const AGAIN_MS = 4000;
let picked = null;
let row = null;
let plot = null;
let axes = null;
let asked = -Infinity;

export function pick(position) {
  if (picked !== position.id) {
    axes = null;
    if (plot) plot.destroy();
    plot = null;
    at("story").replaceChildren();
    at("surface").replaceChildren();
    asked = -Infinity;
  }
  picked = position.id;
  row = position;
  at("detail").hidden = false;
  say(at("detail-title"), position.label);
  say(at("detail-level"), position.level);
  mark(at("detail-level"), "data-level", position.level);
  say(at("detail-facts"), facts(position));
  const old = position.level === "UNKNOWN";
  const whys = [...(position.stopped ? [halted(position)] : []), ...(old ? [unknown(position)] : [])];
  at("detail-why").hidden = !whys.length;
  say(at("detail-why"), whys.join("; "));
  load();
}

export const current = () => picked;

function facts(p) {
  if (p.level === "UNKNOWN") return p.id;
  const list = (holdings) => (holdings || []).map(([s, n, worth]) => `${tokens(n)} ${s} (${usd(worth)})`).join(" + ");
  const owed = list(p.owe);
  return `health ${health(p.health)} \u00b7 ${list(p.own) || "nothing"} against ${owed || "no debt"}`;
}

async function load() {
  const now = performance.now();
  if (now - asked < AGAIN_MS) return;
  asked = now;
  const id = picked;
  try {
    const found = await ask(`/api/position?id=${encodeURIComponent(id)}`);
    if (id !== picked) return;
    drawHistory(found);
    drawStory(found.story);
    await drawSurface(found);
  } catch (error) {
    say(at("history-note"), `could not be asked: ${error.message}`);
  }
}

function drawStory(story) {
  const lines = story.lines.length ? story.lines : [story.why || "no level changed and nothing had to be decided"];
  const groups = [];
  for (const line of lines.filter((text) => text)) {
    if (line.startsWith(" ") && groups.length) groups[groups.length - 1].push(line.trim());
    else groups.push([line.trim()]);
  }
  const list = at("story");
  const newest = groups[groups.length - 1][0];
  if (list.childElementCount === groups.length && list.dataset.newest === newest) return;
  list.dataset.newest = newest;
  list.replaceChildren(...groups.reverse().map(([head, ...inner]) => el("li", {}, head, ...inner.map((text) => el("span", { class: "inner" }, text)))));
}

// ---- health over time

function drawHistory(found) {
  const first = found.healths.findIndex((h) => h !== null);
  if (first > 0) {
    found.times.splice(0, first);
    found.healths.splice(0, first);
  }
  const before = found.story.healths.filter(([s]) => !found.times.length || s < found.times[0]);
  const times = [...before.map(([s]) => s), ...found.times];
  const healths = [...before.map(([, h]) => h), ...found.healths];
  const box = at("history");
  const few = times.length < 2;
  box.hidden = few;
  const known = healths.filter((h) => h !== null);
  say(at("history-note"), few ? "A line appears with the next blocks." : summary(known));
  mark(box, "aria-label", `Health over time: ${few ? "too few points yet" : summary(known)}`);
  if (few) return;
  const data = [times, healths];
  if (plot) {
    plot.setData(data);
    return;
  }
  plot = new window.uPlot(options(box.clientWidth, found.policy, found.story.marks), data, box);
}

function summary(known) {
  if (!known.length) return "nothing was known in this time";
  return `lowest ${health(Math.min(...known))}, highest ${health(Math.max(...known))}, now ${row && row.level !== "UNKNOWN" ? health(row.health) : "not known"}`;
}

const color = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();

function options(width, policy, marks) {
  return {
    width: Math.max(260, width),
    height: 190,
    legend: { show: false },
    cursor: { y: false, points: { size: 6 } },
    scales: {
      x: { time: true },
      y: { range: (_, low, high) => span(low, high, policy) },
    },
    axes: [
      { stroke: () => color("--muted"), grid: { stroke: () => color("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif", values: (_, at_) => moment(at_) },
      { stroke: () => color("--muted"), grid: { stroke: () => color("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif", size: 46, values: (_, at_) => at_.map((v) => v.toFixed(2)) },
    ],
    series: [{}, { stroke: () => color("--ink"), width: 1.6, spanGaps: false, points: { show: false } }],
    hooks: { drawAxes: [(u) => lines(u, policy)], draw: [(u) => moments(u, marks)] },
  };
}

// Times of day without seconds where minutes do, with the day where hours do not.
function moment(seconds) {
  const range = seconds[seconds.length - 1] - seconds[0];
  const how = range > 172800 ? { month: "short", day: "numeric" } : range > 600 ? { hour: "2-digit", minute: "2-digit", hour12: false } : { minute: "2-digit", second: "2-digit", hour: "2-digit", hour12: false };
  return seconds.map((s) => new Date(s * 1000).toLocaleString("en-GB", how));
}

function span(low, high, policy) {
  const all = [low, high, ...(policy ? [policy.trigger, policy.emergency] : []), 1].filter((v) => Number.isFinite(v));
  const top = Math.max(...all), bottom = Math.min(...all);
  const room = Math.max(0.02, (top - bottom) * 0.08);
  return [bottom - room, top + room];
}

function lines(u, policy) {
  const drawn = { liquidation: 1, ...(policy ? { emergency: policy.emergency, trigger: policy.trigger, warn: policy.warn } : {}) };
  const ctx = u.ctx;
  ctx.save();
  ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  ctx.textAlign = "left";
  ctx.textBaseline = "bottom";
  for (const [name, value] of Object.entries(drawn)) {
    if (value < u.scales.y.min || value > u.scales.y.max) continue;
    const y = Math.round(u.valToPos(value, "y", true));
    ctx.strokeStyle = ctx.fillStyle = color(`--line-${name}`);
    ctx.setLineDash(name === "liquidation" ? [] : [4 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(u.bbox.left, y);
    ctx.lineTo(u.bbox.left + u.bbox.width, y);
    ctx.stroke();
    ctx.fillText(name, u.bbox.left + 4 * devicePixelRatio, y - 1);
  }
  ctx.restore();
}

// A small triangle below where something was done about it.
function moments(u, marks) {
  const ctx = u.ctx;
  ctx.save();
  ctx.fillStyle = color("--accent");
  for (const m of marks.filter((m_) => m_.kind === "plan" || m_.kind === "outcome")) {
    if (m.at_s < u.scales.x.min || m.at_s > u.scales.x.max) continue;
    const x = u.valToPos(m.at_s, "x", true), y = u.bbox.top + u.bbox.height, r = 4 * devicePixelRatio;
    ctx.beginPath();
    ctx.moveTo(x, y - 2 * r);
    ctx.lineTo(x - r, y);
    ctx.lineTo(x + r, y);
    ctx.fill();
  }
  ctx.restore();
}

export function redraw() {
  if (plot) {
    plot.setSize({ width: Math.max(260, at("history").clientWidth), height: 190 });
    plot.redraw();
  }
}

// ---- two prices at once

async function drawSurface(found) {
  const names = found.axes;
  const box = at("surface");
  if (!names.length) {
    at("axes").replaceChildren();
    box.replaceChildren(el("p", { class: "note" }, "Nothing is known of it at this moment."));
    return;
  }
  if (!axes || !names.includes(axes[0])) axes = [names[0], names[1] || names[0]];
  chooser(names);
  const [x, y] = axes;
  const query = new URLSearchParams({ id: found.id, x, y });
  const told = await ask(`/api/surface?${query}`);
  if (found.id !== picked) return;
  box.replaceChildren(grid(told, found.policy));
}

function chooser(names) {
  const box = at("axes");
  if (box.dataset.names === names.join()) return;
  box.dataset.names = names.join();
  const select = (label, i) => {
    const made = el("select", { "aria-label": `${label} of the surface` }, ...names.map((n) => el("option", { value: n }, n)));
    made.value = axes[i];
    made.addEventListener("change", () => {
      axes[i] = made.value;
      asked = -Infinity;
      load();
    });
    return el("label", {}, `${label} `, made);
  };
  box.replaceChildren(select("across", 0), select("down", 1));
}

function grid(told, policy) {
  const head = el("tr", {}, el("th", { scope: "col" }, `${told.y} \u2193  ${told.x} \u2192`), ...told.steps.map((s) => el("th", { scope: "col" }, step(s))));
  const body = told.cells.map((cells, i) => {
    const made = cells.map((h, j) =>
      el("td", { "data-cell": cell(h, policy), "data-here": told.steps[i] === 0 && told.steps[j] === 0 ? "yes" : null }, short(h)),
    );
    return el("tr", {}, el("th", { scope: "row" }, step(told.steps[i])), ...made);
  });
  return el("table", { class: "grid" }, el("thead", {}, head), el("tbody", {}, ...body));
}

const step = (share) => (share === 0 ? "now" : percent(share).replace(".0", ""));
