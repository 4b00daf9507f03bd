// What an operator wants to know at a glance.
import { html, useFeed } from "../dom.js";
import { Chart } from "../chart.js";
import { count, percent, words } from "../format.js";
import { Empty, Events, Pill, tone } from "../parts.js";
import { RunRow } from "./workflows.js";

const CHARTS = [
  { title: "Processor", unit: "ratio", lines: [{ metric: "host.cpu_ratio", name: "host", tint: "--blue" }, { metric: "service.cpu_ratio", name: "service", tint: "--green" }] },
  { title: "Memory", unit: "ratio", lines: [{ metric: "host.memory_used_ratio", name: "used", tint: "--violet" }] },
  { title: "Memory of the service", unit: "bytes", lines: [{ metric: "service.rss_bytes", name: "resident", tint: "--green" }] },
];
// A kernel without pressure readings has the load instead.
const LOAD = { title: "Load per core", unit: "count", lines: [{ metric: "host.load1_per_core", name: "load", tint: "--amber" }] };
const PRESSURE = {
  title: "Pressure", unit: "ratio",
  lines: [
    { metric: "host.pressure_cpu_ratio", name: "cores", tint: "--blue" },
    { metric: "host.pressure_memory_ratio", name: "mem", tint: "--violet" },
    { metric: "host.pressure_io_ratio", name: "io", tint: "--amber" },
  ],
};

function Tile({ name, value, note, state, href }) {
  return html`<a class="tile ${tone(state)}" href=${href}><span class="name">${name}</span>
    <strong>${value}</strong><span class="note">${note}</span></a>`;
}

function Tiles({ feed }) {
  const agents = [...feed.state.agents.values()];
  const up = agents.filter(({ state }) => state === "up").length;
  const runs = [...feed.state.workflows.values()];
  const running = runs.filter(({ status }) => ["pending", "running", "waiting"].includes(status));
  const firing = [...feed.state.alerts.values()].filter(({ state }) => state === "firing");
  const worst = firing.some(({ severity }) => severity === "critical") ? "critical" : firing.length > 0 ? "warning" : "ok";
  const log = feed.state.service.get("log");
  const database = feed.state.service.get("database");
  const recovery = feed.state.service.get("recovery");
  const measures = recovery?.mode !== "on" ? [] : [
    recovery && recovery.share < 1 && `agents at ${percent(recovery.share)}`,
    recovery?.holding_back && "runs wait",
  ].filter(Boolean);
  const behind = (database?.entries ?? 0) - (log?.head ?? 0);
  return html`<div class="tiles">
    <${Tile} name="Agents up" value=${`${up}/${agents.length}`} state=${up === agents.length ? "ok" : "warning"} href="/agents"
      note=${up === agents.length ? "all supervised, none in trouble" : `${agents.length - up} not up`} />
    <${Tile} name="Workflows" value=${count(running.length)} state=${running.length > 0 ? "running" : "idle"} href="/workflows"
      note=${running.length > 0 ? `${count(running.reduce((sum, run) => sum + run.running, 0))} steps at work` : "none running"} />
    <${Tile} name="Alerts firing" value=${count(firing.length)} state=${worst} href="/alerts"
      note=${measures.length > 0 ? measures.join(", ") : firing.length > 0 ? words(firing[0].rule) : "all clear"} />
    <${Tile} name="Audit log" value=${count(log?.head ?? null)} state=${log?.state === "up" ? "ok" : "critical"} href="/audit"
      note=${log?.state !== "up" ? "no signed head" : behind > 0 ? `${behind} not signed yet` : "all entries signed by the TPM"} />
    <${Tile} name="Database" value=${database ? words(database.state) : "–"} state=${database?.state === "up" ? "ok" : "critical"} href="/audit"
      note="PostgreSQL with pgvector" />
  </div>`;
}

// One cell an agent: 80 are seen at once.
function Fleet({ feed }) {
  const groups = new Map();
  for (const [id, agent] of feed.state.agents) {
    if (!groups.has(agent.group)) groups.set(agent.group, []);
    groups.get(agent.group).push([id, agent]);
  }
  return html`<section class="card fleet"><header><h2>Agents</h2><a class="more" href="/agents">all figures</a></header>
    ${[...groups].sort().map(([group, agents]) => html`<div class="group" key=${group}><h3>${words(group)} <span>${agents.length}</span></h3>
      <div class="cells">${agents.map(([id, agent]) => html`<a key=${id} href="/agents/${id}"
        class="cell ${tone(agent.state)} ${agent.queue > 0 ? "at-work" : ""} ${agent.done > 0 ? "worked" : ""}"
        title="${id}: ${words(agent.state)}${agent.done ? `, ${agent.done} steps done` : ""}" aria-label="${id} ${words(agent.state)}"></a>`)}</div></div>`)}
    <p class="key-line"><span class="pill good"><i></i>up</span><span class="pill busy"><i></i>at work</span>
      <span class="pill warn"><i></i>restarting</span><span class="pill bad"><i></i>breaker open or down</span></p>
  </section>`;
}

export function Overview() {
  const feed = useFeed("agents", "workflows", "alerts", "service", "events");
  const firing = [...feed.state.alerts.values()].filter(({ state }) => state === "firing");
  const runs = [...feed.state.workflows].sort(([a], [b]) => (a < b ? 1 : -1)).slice(0, 6);
  const charts = [...CHARTS, feed.series.has("host.pressure_cpu_ratio") ? PRESSURE : LOAD];
  return html`<h1 class="sr">Overview</h1>
    <${Tiles} feed=${feed} />
    ${firing.map((alert) => html`<a class="banner ${tone(alert.severity)}" href="/alerts" key=${alert.fingerprint} role="alert">
      <${Pill} state=${alert.severity} /><b>${alert.rule}</b> ${alert.summary}</a>`)}
    <div class="charts">${charts.map((chart) => html`<${Chart} key=${chart.title} ...${chart} />`)}</div>
    <div class="two">
      <section class="card"><header><h2>Newest workflows</h2><a class="more" href="/workflows">all</a></header>
        ${runs.length === 0 ? html`<${Empty}>None since the service was started. <a href="/workflows">Start one.</a><//>` : html`<div class="scroll"><table><tbody>
          ${runs.map(([id, run]) => html`<${RunRow} key=${id} id=${id} run=${run} brief=${true} />`)}</tbody></table></div>`}
      </section>
      <section class="card"><header><h2>Events</h2></header><${Events} events=${feed.logs.events} most=${9} /></section>
    </div>
    <${Fleet} feed=${feed} />`;
}
