// What is wrong, what the service does about it by itself, and what it did.
import { html, useAnswer, useFeed } from "../dom.js";
import { get, me } from "../api.js";
import { percent, reading, words } from "../format.js";
import { Action, Empty, Events, Pill, Time } from "../parts.js";

const RANK = { firing: 0, pending: 1, resolved: 2 };

function Alert({ alert, unit }) {
  const { fingerprint, rule, severity, state, summary, value, threshold, fired, since, resolved, labels, action, ack, flapping } = alert;
  const names = Object.entries(labels ?? {}).map(([name, of]) => `${name}=${of}`).join(" ");
  return html`<tr><td><${Pill} state=${state} text=${flapping ? `${state}, flapping` : state} /></td>
    <td><${Pill} state=${severity} /></td>
    <td><b>${rule}</b> <span class="muted small">${names}</span><div class="small">${summary}</div></td>
    <td class="number">${reading(value, unit)} <span class="muted small">of ${reading(threshold, unit)}</span></td>
    <td><${Time} at=${resolved ?? fired ?? since} /></td>
    <td>${action ? words(action).replaceAll("-", " ") : html`<span class="muted">none</span>`}</td>
    <td>${ack ? html`<span title=${ack.comment}>seen by ${ack.by}</span>`
      : state === "firing" && me.may("operator") && html`<${Action} label="Acknowledge" path="alerts/${fingerprint}/ack" body=${{}} done="${rule} is acknowledged" />`}</td></tr>`;
}

function Measures({ recovery }) {
  if (!recovery) return null;
  const idle = recovery.share >= 1 && !recovery.holding_back;
  const mode = { on: "acts by itself", dry_run: "only says what it would do", off: "is switched off" }[recovery.mode];
  return html`<section class="card measures"><header><h2>Automatic measures</h2><span class="muted">the service ${mode}</span></header>
    <div class="measure"><span>Places of the agents in use</span><span class="meter ${recovery.share < 1 ? "warn" : "good"}"><i style=${{ width: `${recovery.share * 100}%` }}></i></span><b>${percent(recovery.share)}</b></div>
    <div class="measure"><span>Workflows that are not critical</span><${Pill} state=${recovery.holding_back ? "paused" : "running"} text=${recovery.holding_back ? "wait" : "run"} /></div>
    ${idle && html`<p class="muted small">Nothing is held back.</p>`}</section>`;
}

export function Alerts() {
  const feed = useFeed("alerts", "service", "events");
  const { answer } = useAnswer(() => get("host"), "host");
  const units = new Map((answer?.readings ?? []).map(({ metric, unit }) => [metric, unit]));
  const alerts = [...feed.state.alerts.values()].sort((a, b) => RANK[a.state] - RANK[b.state] || (a.since < b.since ? 1 : -1));
  const told = feed.logs.events.filter(({ v }) => v.kind === "alert" || v.kind === "action");
  return html`<header class="page"><h1>Alerts</h1><span class="buttons">
      ${me.may("operator") && html`<${Action} label="Test alert" path="alerts/test" body=${{ firing: true }} done="the exercise alert is raised" />
        <${Action} label="Clear test" path="alerts/test" body=${{ firing: false }} done="the exercise alert is cleared" />`}</span></header>
    <section class="card flush"><div class="scroll"><table><thead><tr><th>State</th><th>Severity</th><th>Rule</th><th class="number">Reading</th><th>When</th><th>Measure</th><th></th></tr></thead>
      <tbody>${alerts.map((alert) => html`<${Alert} key=${alert.fingerprint} alert=${alert} unit=${units.get(alert.metric)} />`)}</tbody></table></div>
      ${alerts.length === 0 && html`<${Empty}>Nothing is wrong, and nothing was in the last quarter of an hour.<//>`}</section>
    <div class="two"><${Measures} recovery=${feed.state.service.get("recovery")} />
      <section class="card"><header><h2>Alerts and measures of late</h2></header><${Events} events=${told} most=${14} /></section></div>`;
}
