// The agents: what their supervisor says of them, and how they have been doing.
import { html, useAnswer, useFeed, useState } from "../dom.js";
import { get, me } from "../api.js";
import { count, millis, percent, words } from "../format.js";
import { Action, Empty, Events, Pill, Trouble } from "../parts.js";

const COLUMNS = [
  ["Agent", ([id]) => id],
  ["State", ([, agent]) => agent.state],
  ["Group", ([, agent]) => agent.group],
  ["Criticality", ([, agent]) => agent.criticality],
  ["Queue", ([, agent]) => agent.queue, "number"],
  ["Done", ([, agent]) => agent.done ?? -1, "number"],
  ["Failed", ([, agent]) => agent.failed ?? -1, "number"],
  ["Success", ([, agent]) => agent.success_rate ?? -1, "number"],
  ["p50", ([, agent]) => agent.p50_ms ?? -1, "number"],
  ["p95", ([, agent]) => agent.p95_ms ?? -1, "number"],
  ["Restarts", ([, agent]) => agent.restarts, "number"],
];

function Row({ id, agent }) {
  return html`<tr class=${agent.queue > 0 ? "at-work" : ""}>
    <td><a href="/agents/${id}"><b>${id}</b></a></td><td><${Pill} state=${agent.state} /></td>
    <td>${words(agent.group)}</td><td>${words(agent.criticality)}</td>
    <td class="number">${count(agent.queue)}</td><td class="number">${count(agent.done)}</td>
    <td class="number">${count(agent.failed)}</td><td class="number">${percent(agent.success_rate)}</td>
    <td class="number">${millis(agent.p50_ms)}</td><td class="number">${millis(agent.p95_ms)}</td>
    <td class="number">${count(agent.restarts)}</td></tr>`;
}

export function Agents() {
  const feed = useFeed("agents");
  const [search, setSearch] = useState("");
  const [only, setOnly] = useState("all");
  const [order, setOrder] = useState({ column: 0, down: false });
  const wanted = search.trim().toLowerCase();
  const key = COLUMNS[order.column][1];
  const all = [...feed.state.agents];
  const rows = all
    .filter(([id, agent]) => (only === "all" || (only === "worked" ? agent.done > 0 : agent.state !== "up")) &&
      `${id} ${agent.group} ${agent.criticality} ${agent.state}`.toLowerCase().includes(wanted))
    .sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : a[0] < b[0] ? -1 : 1) * (order.down ? -1 : 1));
  const sort = (column) => setOrder({ column, down: order.column === column ? !order.down : COLUMNS[column][2] === "number" });
  return html`<header class="page"><h1>Agents</h1><span class="muted">${rows.length} of ${all.length}</span>
      <input type="search" class="search" placeholder="Search  /" aria-label="Search agents" value=${search}
        onInput=${(event) => setSearch(event.target.value)} />
      <select aria-label="Which agents" value=${only} onChange=${(event) => setOnly(event.target.value)}>
        <option value="all">all</option><option value="worked">that have worked</option><option value="trouble">not up</option></select></header>
    <section class="card flush"><div class="scroll"><table class="sortable"><thead><tr>
      ${COLUMNS.map(([name, , kind], column) => html`<th class=${kind ?? ""} aria-sort=${order.column === column ? (order.down ? "descending" : "ascending") : "none"}>
        <button onClick=${() => sort(column)}>${name}</button></th>`)}</tr></thead>
      <tbody>${rows.map(([id, agent]) => html`<${Row} key=${id} id=${id} agent=${agent} />`)}</tbody></table></div>
      ${rows.length === 0 && html`<${Empty}>No agent is like that.<//>`}</section>`;
}

function Facts({ facts }) {
  return html`<dl class="facts">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

export function AgentPage({ id }) {
  const feed = useFeed("agents", "events");
  const { answer, problem, again } = useAnswer(() => get(`agents/${id}`), id);
  const live = feed.state.agents.get(id);
  if (problem) return html`<${Trouble} problem=${problem} />`;
  if (!answer || !live) return html`<${Empty}>Asking for ${id} …<//>`;
  const mine = feed.logs.events.filter(({ v }) => v.subject.endsWith(`/${id}`));
  return html`<header class="page"><h1>${id}</h1><${Pill} state=${live.state} />
      <span class="buttons">
        ${me.may("operator") && html`<${Action} label="Restart" sure="Restart now?" path="agents/${id}/restart" done="${id} is being restarted" then=${again} />`}
        ${me.may("admin") && html`<${Action} label="Crash drill" sure="Let it crash?" kind="risky" path="agents/${id}/drill" body=${{ fault: "panic" }} done="${id} was told to crash" />`}
      </span></header>
    <p class="lead">${answer.description}</p>
    <div class="two">
      <section class="card"><header><h2>Figures</h2></header><${Facts} facts=${[
        ["Steps done", count(live.done)], ["Failed", count(live.failed)], ["Success", percent(live.success_rate)],
        ["p50", millis(live.p50_ms)], ["p95", millis(live.p95_ms)], ["Queue", count(live.queue)],
        ["Restarts", count(live.restarts)], ["Last end", live.last_exit ?? "none"], ["Breaker", words(answer.breaker.state)],
      ]} /></section>
      <section class="card"><header><h2>Profile</h2></header><${Facts} facts=${[
        ["Group", words(answer.group)], ["Domain", answer.domain], ["Criticality", words(answer.criticality)],
        ["Concurrency", count(answer.concurrency)], ["Timeout", millis(answer.timeout_ms)],
        ["Tools", html`<span class="tags">${answer.tools.map((tool) => html`<code>${tool}</code>`)}</span>`],
      ]} /></section>
    </div>
    <section class="card"><header><h2>Life under its supervisor</h2></header><${Events} events=${mine} most=${30} /></section>
    ${answer.instructions && html`<section class="card"><header><h2>Instructions</h2></header><pre class="text">${answer.instructions.trim()}</pre></section>`}`;
}
