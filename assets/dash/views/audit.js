// The end of the tamper-evident log, live, and any stretch of it.
import { html, useAnswer, useFeed, useState } from "../dom.js";
import { get } from "../api.js";
import { count } from "../format.js";
import { Empty, Pill, Time, Trouble } from "../parts.js";

const PAGE = 100;

function Entry({ entry, signed }) {
  return html`<tr><td class="number">${entry.index}</td><td><${Time} at=${entry.at} /></td><td>${entry.actor}</td>
    <td><code>${entry.op}</code></td><td class="clip" title=${entry.subject}>${entry.subject}</td>
    <td><${Pill} state=${entry.outcome} /></td><td class="clip" title=${entry.detail}>${entry.detail}</td>
    <td>${entry.index < signed ? html`<span class="seal" title="covered by a signed head">signed</span>` : html`<span class="muted">waits</span>`}</td></tr>`;
}

export function Audit() {
  const feed = useFeed("audit", "service");
  const asked = new URLSearchParams(location.search).get("from");
  const [older, setOlder] = useState({ entries: [], problem: null });
  const signed = feed.state.service.get("log")?.head ?? 0;
  const head = useAnswer(() => get("audit/head"), signed);
  const at = useAnswer(() => (asked === null ? Promise.resolve(null) : get(`audit/entries?from=${asked}&to=${Number(asked) + 1}`)), asked);
  const live = feed.logs.audit.map(({ v }) => v);
  const first = (older.entries[0] ?? live[0])?.index ?? 0;
  const load = async () => {
    try {
      const { entries } = await get(`audit/entries?from=${Math.max(0, first - PAGE)}&to=${first}`);
      const more = entries.map(({ index, entry }) => ({ ...entry, index }));
      setOlder((before) => ({ entries: [...more, ...before.entries], problem: null }));
    } catch (problem) {
      setOlder((before) => ({ ...before, problem }));
    }
  };
  const known = new Map([...older.entries, ...live].map((entry) => [entry.index, entry]));
  const rows = [...known.values()].sort((a, b) => b.index - a.index);
  const named = at.answer?.entries?.[0];
  return html`<header class="page"><h1>Audit log</h1><span class="muted">${count(signed)} entries signed</span></header>
    <div class="two"><section class="card"><header><h2>Signed head</h2>${head.answer?.trust && html`<${Pill} state=${head.answer.trust === "hardware" ? "ok" : "info"} text="TPM: ${head.answer.trust}" />`}</header>
      ${head.answer ? html`<dl class="facts"><div><dt>Root</dt><dd><code class="wrap">${head.answer.root}</code></dd></div>
        <div><dt>Signed by</dt><dd>${head.answer.tpm ?? "the TPM does not answer"}</dd></div></dl><pre class="text">${head.answer.note}</pre>` : html`<${Trouble} problem=${head.problem} />`}</section>
      <section class="card"><header><h2>Check it yourself</h2></header>
        <p>Each entry is a leaf of a Merkle tree (RFC 6962); the TPM signs its head. Anyone can verify the log, with no right to this service:</p>
        <pre class="text">dsmil audit verify</pre>
        <p class="muted small">The log is served as tiles under <code>/api/v1/audit/tile</code>, its head at <a href="/api/v1/audit/checkpoint" target="_blank">checkpoint</a>, the key at <a href="/api/v1/audit/vkey" target="_blank">vkey</a>.</p></section></div>
    ${named && html`<section class="card"><header><h2>Entry ${named.index}</h2></header><pre class="text">${JSON.stringify(named.entry, null, 2)}</pre>
      <p class="muted small">leaf hash <code class="wrap">${named.leaf_hash}</code></p></section>`}
    <section class="card flush"><div class="scroll"><table><thead><tr><th class="number">Index</th><th>When</th><th>Actor</th><th>Operation</th><th>Subject</th><th>Outcome</th><th>Detail</th><th></th></tr></thead>
      <tbody>${rows.map((entry) => html`<${Entry} key=${entry.index} entry=${entry} signed=${signed} />`)}</tbody></table></div>
      ${rows.length === 0 && html`<${Empty}>The end of the log is on its way.<//>`}</section>
    <${Trouble} problem=${older.problem} />
    ${first > 0 && html`<button class="button" onClick=${load}>Older</button>`}`;
}
