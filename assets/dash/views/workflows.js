// Runs of workflows: those that the feed tells of, and older ones from the database.
import { html, useAnswer, useEffect, useFeed, useState } from "../dom.js";
import { get, me, post } from "../api.js";
import { go } from "../route.js";
import { millis, percent, short, words } from "../format.js";
import { Empty, Meter, Pill, Time, Trouble } from "../parts.js";

const ENDED = ["succeeded", "failed", "rolled_back", "cancelled", "timed_out", "needs_human"];
export const hasEnded = (run) => ENDED.includes(run.status);
const PAGE = 50;

export function RunRow({ id, run, brief }) {
  const share = run.step_count ? run.settled / run.step_count : hasEnded(run) ? 1 : 0;
  const took = run.execution_time_ms ?? Date.now() - Date.parse(run.accepted);
  return html`<tr><td><a href="/workflows/${id}"><b>${run.name}</b></a> <code class="id" title=${id}>${short(id)}</code></td>
    <td><${Pill} state=${run.status} /></td>
    <td class="grow"><${Meter} share=${share} state=${run.status} />
      ${run.step_count ? html`<span class="muted small">${run.settled}/${run.step_count}</span>` : ""}</td>
    <td class="number">${millis(took)}</td>
    ${!brief && html`<td class="number">${percent(run.success_rate)}</td><td class="number">${percent(run.coverage)}</td>
      <td>${run.mode}</td>`}
    <td><${Time} at=${run.accepted} /></td></tr>`;
}

function Start() {
  const { answer, problem } = useAnswer(() => get("playbooks"), "playbooks");
  const [fault, setFault] = useState(null);
  const [busy, setBusy] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setFault(null);
    try {
      const accepted = await post("workflows", { playbook: new FormData(event.target).get("playbook") });
      go(`/workflows/${accepted.workflow_id}`);
    } catch (refusal) {
      setFault(refusal);
      setBusy(false);
    }
  };
  return html`<form class="inline" onSubmit=${submit}>
      <select name="playbook" aria-label="Playbook">${(answer?.playbooks ?? []).map(({ name, steps }) => html`
        <option value=${name}>${name} (${steps} steps)</option>`)}</select>
      <button class="button main" disabled=${busy || !answer}>Run playbook</button></form>
    <${Trouble} problem=${fault ?? problem} />`;
}

// What the database knows, with what the feed knows better.
function merged(stored, live) {
  const runs = new Map(stored.map((run) => [run.workflow_id, run]));
  for (const [id, run] of live) runs.set(id, run);
  return [...runs].sort(([a], [b]) => (a < b ? 1 : -1));
}

export function Workflows() {
  const feed = useFeed("workflows");
  const [stored, setStored] = useState({ runs: [], next: null, problem: null });
  const [status, setStatus] = useState("");
  const load = async (cursor) => {
    try {
      const query = new URLSearchParams({ limit: PAGE, ...(cursor && { cursor }), ...(status && { status }) });
      const { workflows, next } = await get(`workflows?${query}`);
      setStored((before) => ({ runs: cursor ? [...before.runs, ...workflows] : workflows, next, problem: null }));
    } catch (problem) {
      setStored((before) => ({ ...before, problem }));
    }
  };
  useEffect(() => void load(null), [status]);
  // Beyond what was loaded the feed's runs would leave a hole in the list.
  const oldest = stored.runs.at(-1)?.workflow_id ?? "";
  const live = [...feed.state.workflows].filter(([id, run]) => (!status || run.status === status) && (!stored.next || id >= oldest));
  const still = stored.runs.filter((run) => {
    const known = feed.state.workflows.get(run.workflow_id);
    return !status || !known || known.status === status;
  });
  const rows = merged(still, live);
  return html`<header class="page"><h1>Workflows</h1>
      <select aria-label="Status" value=${status} onChange=${(event) => setStatus(event.target.value)}>
        <option value="">any status</option>${["running", "paused", ...ENDED].map((name) => html`<option value=${name}>${words(name)}</option>`)}</select>
      <span class="buttons">${me.may("operator") && html`<${Start} />`}</span></header>
    <${Trouble} problem=${stored.problem} />
    <section class="card flush"><div class="scroll"><table><thead><tr><th>Workflow</th><th>Status</th><th>Steps</th>
      <th class="number">Took</th><th class="number">Success</th><th class="number">Coverage</th><th>Mode</th><th>Accepted</th></tr></thead>
      <tbody>${rows.map(([id, run]) => html`<${RunRow} key=${id} id=${id} run=${run} />`)}</tbody></table></div>
      ${rows.length === 0 && html`<${Empty}>No workflow yet. The playbook <b>host-baseline</b> looks at this host and changes nothing.<//>`}</section>
    ${stored.next && html`<button class="button" onClick=${() => load(stored.next)}>Older</button>`}`;
}
