// Chains with their endpoints, alarms, the heat map and plans.

import { at, el, mark, say } from "./dom.js";
import { age, cell, short, usd } from "./words.js";

// ---- chains

export function chains(told, drift) {
  at("chains").replaceChildren(...told.chains.map((c) => chain(c, told.mode, drift)));
}

function chain(c, mode, drift) {
  const [tone, word] = standing(c, mode);
  const late = c.judged_age_s + drift > c.limit_s;
  const facts = [
    ["block", c.block === null ? "none yet" : c.block.toLocaleString("en"), false],
    ["judged", `${age(c.judged_age_s + drift)} ago`, late],
    ["tick", c.took_ms === null ? "\u2013" : `${c.took_ms.toFixed(0)} ms`, false],
    ["gas tank", c.gas_tank === null ? "\u2013" : `${c.gas_tank.toFixed(3)}`, false],
  ];
  return el(
    "article",
    { class: "chain", "data-tone": late && tone === "calm" ? "danger" : tone },
    el("div", { class: "title" }, el("h2", {}, c.name), el("span", { class: "grow" }), el("span", { class: "chip", "data-tone": tone }, word)),
    el("dl", {}, ...facts.map(([name, value, bad]) => el("div", { "data-bad": bad ? "yes" : null }, el("dt", {}, name), el("dd", {}, value)))),
    el("ul", { class: "endpoints", "aria-label": `Endpoints of ${c.name}` }, ...c.endpoints.map(endpoint)),
    c.blind ? el("p", { class: "blind" }, `BLIND: ${c.blind.why}`) : null,
  );
}

function standing(c, mode) {
  if (c.blind) return ["danger", "BLIND"];
  if (c.broken) return ["danger", "STOPPED"];
  if (!c.started) return ["unknown", "STARTING"];
  if (c.paused) return ["warn", "PAUSED"];
  if (mode !== "live") return c.stopped ? ["warn", `DRY-RUN, ${c.stopped} STOPPED`] : ["calm", "DRY-RUN"];
  if (!c.armed) return ["warn", "NOT ARMED"];
  if (c.stopped) return ["warn", `ARMED, ${c.stopped} STOPPED`];
  return ["calm", c.busy ? "ARMED, SENDING" : "ARMED"];
}

function endpoint(e) {
  const well = e.state === "up";
  const words = well ? `${e.latency_ms === null ? "" : `${e.latency_ms.toFixed(0)} ms`}` : `${e.state}${e.error ? `: ${e.error}` : ""}`;
  return el("li", { "data-well": well ? "yes" : "no" }, el("span", { class: "dot", "aria-hidden": "true" }), `${e.name} `, el("span", { class: "small" }, well ? words : words.toUpperCase().slice(0, 90)));
}

// ---- hedges

export function pairs(told, live) {
  const list = told.chains.flatMap((c) => c.pairs || []);
  at("pairs-box").hidden = !list.length;
  at("pairs").replaceChildren(...list.map((p) => pair(p, live)));
}

function pair(p, live) {
  // what a silent daemon, or one that is not heard, said last is no cover now
  const [tone, word] = p.covered === null || !live ? ["unknown", "NOT KNOWN"] : p.covered ? ["calm", "COVERED"] : ["warn", "NOT COVERED"];
  const facts = [p.share === null ? null : `${(100 * p.share).toFixed(0)} % covered`, p.net_usd === null ? null : `net ${Math.round(p.net_usd).toLocaleString("en")} USD`, p.short_health === null ? null : `the short's health ${p.short_health.toFixed(2)} (at least ${p.short_health_least.toFixed(2)})`];
  return el(
    "li",
    {},
    el("span", { class: "chip", "data-tone": tone }, word),
    el("span", { class: "what" }, el("b", {}, `${p.loan} and ${p.short}`), ` ${facts.filter(Boolean).map((f) => `\u00b7 ${f}`).join(" ")}`, el("br"), el("span", { class: "why" }, p.why)),
  );
}

// ---- alarms

const RANK = { CRITICAL: 0, WARNING: 1, INFO: 2 };

export function alarms(told, drift, writable) {
  const list = told.alarms.slice().sort((a, b) => loudness(a) - loudness(b) || b.since_s - a.since_s);
  const loud = list.filter((a) => a.acknowledged === false).length;
  at("alarms-box").hidden = !list.length;
  at("ack").hidden = !(writable && loud);
  at("alarms").replaceChildren(...list.slice(0, 50).map((a) => alarm(a, told.now_s + drift)), ...(list.length > 50 ? [el("li", { class: "note" }, `and ${list.length - 50} more`)] : []));
}

const loudness = (a) => RANK[a.severity] * 2 + (a.acknowledged === true ? 1 : 0);

function alarm(a, now_s) {
  const state = a.acknowledged === null ? "" : a.acknowledged ? "acknowledged" : "NOT ACKNOWLEDGED";
  return el(
    "li",
    { "data-severity": a.severity, "data-ack": a.acknowledged === false ? "no" : "yes" },
    el("span", { class: "severity" }, a.severity),
    el("span", { class: "what", title: a.subject }, el("b", {}, a.about || a.chain || a.code), ` ${a.about || a.chain ? a.code : ""} `, el("span", { class: "why" }, a.why)),
    el("span", { class: "since" }, el("span", { class: "ackstate" }, state), ` ${age(now_s - a.since_s)}`),
  );
}

// ---- heat map

export function heat(told, rows, policies, pick) {
  const shown = told.rows.filter((r) => r.known);
  at("heat-box").hidden = !shown.length;
  if (!shown.length) return;
  const of = new Map(rows.map((r) => [r.id, r]));
  say(at("heat-count"), rows.length > told.rows.length ? `the ${told.rows.length} nearest to harm` : "");
  const names = [...told.ladder.map((n) => n.replace("-", "\u2212")), ...told.named];
  const head = el("tr", {}, el("th", { scope: "col" }, "position"), ...names.map((n, i) => el("th", { scope: "col", class: i < told.ladder.length ? "" : i === told.ladder.length ? "named first" : "named" }, el("span", {}, n))));
  const body = shown.map((r) => {
    const p = of.get(r.id);
    const name = el("button", { type: "button", class: "name" }, p.label);
    name.addEventListener("click", () => pick(r.id));
    const cells = r.cells.map((h, i) => el("td", { "data-cell": cell(h, policies[`${p.chain}/${p.policy}`]), class: i === told.ladder.length ? "first" : "" }, short(h)));
    return el("tr", {}, el("th", { scope: "row" }, name), ...cells);
  });
  at("heat").replaceChildren(el("table", { class: "grid heat" }, el("thead", {}, head), el("tbody", {}, ...body), el("tfoot", {}, liquidatable(told))));
}

// What cannot be known is not 0: the sum is then a least, or nothing is said.
function liquidatable(told) {
  const { usd: sums, unknown } = told.liquidatable;
  const most = Math.max(0, ...unknown);
  const words = (sum, n) => (n ? (sum ? `\u2265 ${usd(sum)}` : "?") : usd(sum));
  const cells = sums.map((sum, i) => el("td", { class: i === told.ladder.length ? "first" : "", title: unknown[i] ? `${unknown[i]} unknown` : null }, words(sum, unknown[i])));
  return el("tr", {}, el("th", { scope: "row" }, `debt liquidatable, USD${most ? ` (${most} unknown)` : ""}`), ...cells);
}

// ---- plans

export function plans(told, labels) {
  const list = at("plans");
  if (!told.plans.length) {
    list.replaceChildren(el("li", { class: "note" }, told.why || "Nothing had to be planned yet."));
    return;
  }
  list.replaceChildren(
    ...told.plans.map((p) =>
      el(
        "li",
        { "data-open": p.open ? "yes" : "no" },
        el("span", { class: "chip", "data-state": p.state }, p.state),
        el("span", { class: "what" }, el("b", {}, labels.get(p.id) || p.id), ` \u00b7 ${p.strategy} \u00b7 block ${p.block.toLocaleString("en")}${p.tries > 1 ? ` \u00b7 ${p.tries} tries` : ""}`, el("br"), el("span", { class: "why" }, p.why), p.became && p.became !== p.why ? el("span", { class: "why" }, ` \u2192 ${p.became}`) : null, p.hash ? el("span", { class: "hash" }, p.hash) : null),
      ),
    ),
  );
}

// ---- the sentence

export function headline(said) {
  mark(document.body, "data-tone", said.tone);
  say(at("sentence"), said.text);
  const list = at("more");
  const want = said.more.map((s) => `${s.tone} ${s.text}`).join("\n");
  if (list.dataset.said !== want) {
    list.dataset.said = want;
    list.replaceChildren(...said.more.map((s) => el("li", { "data-tone": s.tone }, s.text)));
  }
  const title = said.tone === "calm" ? `\u2713 ${said.text}` : `\u25b2 ${said.text}`;
  if (document.title !== title) document.title = title;
  mark(at("icon"), "href", `/static/icons/${said.tone}.svg`);
}
