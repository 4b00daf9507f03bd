// One run: its steps on a common axis of time, live while it runs, and what they found.
import { html, useAnswer, useClock, useFeed, useState } from "../dom.js";
import { get, me } from "../api.js";
import { millis, percent, words } from "../format.js";
import { Action, Empty, Meter, Pill, Time, Trouble, tone } from "../parts.js";
import { hasEnded } from "./workflows.js";

const RANK = { critical: 0, high: 1, medium: 2, low: 3, info: 4 };
const SEVERITY = { critical: "critical", high: "failed", medium: "warning", low: "idle", info: "info" };

// A step of the API in the shape that the feed uses.
function asTold(step) {
  const last = step.attempts.at(-1);
  return {
    id: step.id, agent: step.agent, tool: step.tool, status: step.status, attempts: step.attempts.length,
    started: step.attempts[0]?.started ?? null, duration_ms: last?.duration_ms ?? null,
    last_started: last?.started ?? null, reason: step.reason, chosen_by: step.chosen_by, output: step.output,
    playbook: step.playbook, approval: step.approval, waits_for: step.waits_for,
  };
}

// Who does a step, or what it is if nobody has to.
function doing(step) {
  if (step.agent) return `${step.agent} · ${step.tool ?? ""}`;
  if (step.playbook) return `playbook · ${step.playbook}`;
  if (step.approval) return `approval · ${step.approval.role}`;
  if (step.task) return `not chosen yet · ${step.task}`;
  return step.waits_for ? `waits · ${step.waits_for.what}` : "";
}

function Timeline({ run, steps, pick, picked }) {
  const from = Date.parse(run.accepted);
  const to = Math.max(run.finished ? Date.parse(run.finished) : Date.now(), from + 1);
  const bar = (step) => {
    if (!step.started) return null;
    const start = Date.parse(step.started);
    const last = Date.parse(step.last_started ?? step.started);
    const end = step.status === "running" ? to : step.duration_ms === null ? start : last + step.duration_ms;
    const left = ((start - from) / (to - from)) * 100;
    const width = Math.max(((Math.min(end, to) - start) / (to - from)) * 100, 0.6);
    return html`<i class="bar ${tone(step.status)} ${step.status}" style=${{ left: `${Math.min(left, 99.4)}%`, width: `${Math.min(width, 100 - left)}%` }}></i>`;
  };
  return html`<div class="timeline">
    <div class="row axis" aria-hidden="true"><span></span><span></span><span class="track">
      ${[0, 0.25, 0.5, 0.75, 1].map((share) => html`<em style=${{ left: `${share * 100}%` }}>${millis((to - from) * share)}</em>`)}</span><span></span></div>
    ${steps.map((step) => html`<button key=${step.id} class="row ${picked === step.id ? "picked" : ""}" onClick=${() => pick(picked === step.id ? null : step.id)}
      aria-expanded=${picked === step.id}>
      <span class="step"><b>${step.id}</b><span class="muted small">${doing(step)}</span></span>
      <${Pill} state=${step.status} /><span class="track">${bar(step)}</span>
      <span class="number">${millis(step.duration_ms)}</span></button>`)}</div>`;
}

function StepDetail({ step }) {
  const lines = [
    ["Attempts", step.attempts], ["Started", html`<${Time} at=${step.started} />`], ["Reason", step.reason],
    ["Chosen by", step.chosen_by && `the learner, ${percent(step.chosen_by.confidence)}: ${step.chosen_by.reasons.join("; ")}`],
    ["Summary", step.output?.summary],
  ].filter(([, value]) => value != null);
  return html`<section class="card"><header><h2>Step ${step.id}</h2><${Pill} state=${step.status} /></header>
    <dl class="facts">${lines.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    ${step.output?.data != null && html`<pre class="text">${JSON.stringify(step.output.data, null, 2).slice(0, 20_000)}</pre>`}</section>`;
}

function Findings({ findings }) {
  const sorted = [...findings].sort((a, b) => RANK[a.severity] - RANK[b.severity] || (a.rule < b.rule ? -1 : 1));
  return html`<section class="card flush"><header><h2>Findings <span class="muted">${findings.length}</span></h2></header>
    ${findings.length === 0 ? html`<${Empty}>Nothing stood out.<//>` : html`<div class="scroll"><table><thead><tr><th>Severity</th><th>Rule</th><th>Object</th><th>What</th><th>Agent</th></tr></thead>
      <tbody>${sorted.map((found) => html`<tr key=${found.id}><td><${Pill} state=${SEVERITY[found.severity] ?? "idle"} text=${found.severity} /></td>
        <td><code>${found.rule}</code></td><td class="clip" title=${found.object}>${found.object}</td><td>${found.summary}</td><td>${found.agent}</td></tr>`)}</tbody></table></div>`}</section>`;
}

export function RunPage({ id }) {
  const feed = useFeed("workflows");
  const [picked, pick] = useState(null);
  const live = feed.state.workflows.get(id);
  // What is only in the database is read when a run is opened, when it ends, and when a step is looked at.
  const { answer, problem, again } = useAnswer(() => get(`workflows/${id}`), `${id} ${live?.status} ${picked} ${picked && live?.settled}`);
  const run = live ?? (answer && { ...answer, steps: answer.steps.map(asTold) });
  useClock(run && !hasEnded(run) ? 200 : 0);
  if (!run) return problem ? html`<${Trouble} problem=${problem} />` : html`<${Empty}>Asking for the run …<//>`;
  const known = new Map((answer?.steps ?? []).map((step) => [step.id, asTold(step)]));
  const told = run.steps.length > 0 ? run.steps : [...known.values()];
  const steps = told.map((step) => ({ last_started: known.get(step.id)?.last_started, ...step }));
  const settled = run.settled ?? steps.filter(({ status }) => !["pending", "running", "waiting_approval"].includes(status)).length;
  const step = picked && { ...known.get(picked), ...steps.find(({ id: own }) => own === picked) };
  const open = !hasEnded(run);
  return html`<header class="page"><h1>${run.name}</h1><${Pill} state=${run.status} />
      ${run.paused_by && html`<span class="muted">by ${run.paused_by}</span>`}
      <span class="buttons">${open && me.may("operator") && html`
        ${run.status === "paused"
          ? html`<${Action} label="Resume" path="workflows/${id}/resume" done="the run goes on" then=${again} />`
          : html`<${Action} label="Pause" path="workflows/${id}/pause" done="nothing more of the run is begun" then=${again} />`}
        <${Action} label="Cancel" sure="End the run?" kind="risky" path="workflows/${id}/cancel" done="the run is being cancelled" then=${again} />`}</span></header>
    <section class="card summary"><${Meter} share=${steps.length === 0 ? 0 : settled / steps.length} state=${run.status} />
      <dl class="facts wide">${[
        ["Steps", `${settled} of ${steps.length || (run.step_count ?? 0)}`],
        ["Took", millis(run.execution_time_ms ?? Date.now() - Date.parse(run.accepted))],
        ["Success", percent(run.success_rate)], ["Coverage", percent(run.coverage)], ["Mode", run.mode],
        ["Accepted", html`<${Time} at=${run.accepted} />`], ["Asked for by", run.by],
        ["Audit entry", answer?.audit_index == null ? "–" : html`<a href="/audit?from=${answer.audit_index}">${answer.audit_index}</a>`],
        ["Id", html`<code>${id}</code>`],
      ].map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl></section>
    <section class="card flush"><header><h2>Steps</h2><span class="muted small">press one to see what it gave</span></header>
      <${Timeline} run=${run} steps=${steps} pick=${pick} picked=${picked} /></section>
    ${step && html`<${StepDetail} step=${step} />`}
    ${!open && answer && html`<${Findings} findings=${answer.findings ?? []} />`}
    <${Trouble} problem=${problem} />`;
}
