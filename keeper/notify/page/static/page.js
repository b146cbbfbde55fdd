// What is told is shown as it comes; what is not told any more is shown as old.

import { ask, at, mark, say } from "./dom.js";
import { age, clock } from "./words.js";
import * as detail from "./detail.js";
import * as overview from "./overview.js";
import * as positions from "./positions.js";

const LOST_MS = 7000; // the page is spoken to every one or two seconds
const heard = { ms: null, state: null };
let rows = [];
let chosen = false;
let painted = false;

function hear(event) {
  heard.ms = performance.now();
  heard.wall = Date.now();
  heard.state = JSON.parse(event.data);
  draw();
}

function hearPositions(event) {
  const told = JSON.parse(event.data);
  rows = told.rows;
  positions.show(rows, told.policies);
  overview.heat(told.heat, rows, told.policies, pick);
  follow();
  if (!painted) {
    painted = true;
    requestAnimationFrame(() => requestAnimationFrame(() => performance.mark("painted")));
  }
}

function draw() {
  const drift = heard.ms === null ? 0 : (performance.now() - heard.ms) / 1000;
  const gone = heard.ms === null ? performance.now() > LOST_MS : drift * 1000 > LOST_MS;
  mark(document.body, "data-live", gone || (heard.state && !heard.state.live) ? "no" : "yes");
  if (gone) {
    const since = heard.ms === null ? "nothing was heard yet" : `nothing heard for ${age(drift)}, since ${clock(heard.wall)}`;
    overview.headline({ tone: "lost", text: `NOT LIVE: ${since}. What is shown is old.`, more: [] });
    say(at("heard"), "not live");
  }
  if (!heard.state) return;
  if (!gone) {
    overview.headline(heard.state.headline);
    say(at("heard"), heard.state.live ? `live \u00b7 ${clock(heard.wall)}` : "the daemon is silent");
  }
  overview.chains(heard.state, drift);
  overview.pairs(heard.state, heard.state.live && !gone);
  overview.alarms(heard.state, drift, document.body.dataset.writable === "yes");
}

// The worst is shown in full until somebody chooses; then what was chosen stays.
function follow() {
  if (!rows.length) return;
  const id = chosen ? detail.current() : rows[0].id;
  const row = rows.find((r) => r.id === id) || rows[0];
  positions.pick(row.id);
  detail.pick(row);
}

function pick(id) {
  chosen = true;
  const row = rows.find((r) => r.id === id);
  if (!row) return;
  positions.pick(id);
  detail.pick(row);
  if (matchMedia("(max-width: 900px)").matches) at("detail").scrollIntoView({ behavior: "smooth", block: "start" });
}

function listen() {
  const source = new EventSource("/events");
  source.addEventListener("state", hear);
  source.addEventListener("positions", hearPositions);
  source.addEventListener("plans", (e) => overview.plans(JSON.parse(e.data), new Map(rows.map((r) => [r.id, r.label]))));
  // a browser does not try again by itself after a refusal
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
  });
}

function themes() {
  at("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* a private window keeps nothing */ }
    detail.redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", detail.redraw);
}

function acknowledging() {
  const dialog = at("ack-dialog");
  at("ack").addEventListener("click", () => dialog.showModal());
  at("ack-cancel").addEventListener("click", () => dialog.close());
  at("ack-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const headers = { Authorization: `Bearer ${at("ack-token").value}`, "Content-Type": "application/json" };
    try {
      await ask("/api/ack", { method: "POST", headers, body: JSON.stringify({ why: at("ack-why").value }) });
      at("ack-token").value = "";
      say(at("ack-said"), "");
      dialog.close();
    } catch (error) {
      say(at("ack-said"), `not acknowledged: ${error.message}`);
    }
  });
}

positions.start(pick);
themes();
acknowledging();
listen();
setInterval(draw, 1000);
addEventListener("resize", detail.redraw);
