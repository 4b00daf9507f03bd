// Small parts that several views share.
import { html, useState } from "./dom.js";
import { post, call } from "./api.js";
import { stamp, utc, words } from "./format.js";

const ICONS = {
  overview: "M3 13h7V3H3zM14 21h7V11h-7zM3 21h7v-4H3zM14 7h7V3h-7z",
  agents: "M12 3a3 3 0 1 1 0 6 3 3 0 0 1 0-6zM5 14a2.500 2.500 0 1 1 0 5 2.500 2.500 0 0 1 0-5zM19 14a2.500 2.500 0 1 1 0 5 2.500 2.500 0 0 1 0-5zM12 9v4M12 13l-5 2M12 13l5 2",
  workflows: "M4 5h9M4 12h13M4 19h6M17 5h3M14 19h6",
  alerts: "M12 3 2.500 20h19zM12 10v4M12 17v.5",
  audit: "M6 3h9l4 4v14H6zM14 3v5h5M9 13h7M9 17h7",
  docs: "M5 5c3-1 5-1 7 1 2-2 4-2 7-1v13c-3-1-5-1-7 1-2-2-4-2-7-1zM12 6v13",
  exit: "M10 4H5v16h5M15 8l4 4-4 4M19 12H9",
  theme: "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18",
};

export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${ICONS[name]} /></svg>`;
}

// What a state means at a glance; the word always stands next to the colour.
const TONE = {
  up: "good", succeeded: "good", ok: "good", resolved: "good", live: "good", done: "good",
  running: "busy", restarting: "warn", half_open: "warn", degraded: "warn", pending: "idle", waiting: "idle",
  paused: "warn", warning: "warn", stale: "warn", info: "busy", skipped: "idle", unavailable: "idle", connecting: "idle",
  open: "bad", down: "bad", failed: "bad", firing: "bad", critical: "bad", timed_out: "bad", denied: "bad", offline: "bad",
  cancelled: "idle", rolled_back: "warn", needs_human: "bad",
};

export const tone = (state) => TONE[state] ?? "idle";

export function Pill({ state, text }) {
  return html`<span class="pill ${tone(state)}"><i></i>${text ?? words(state)}</span>`;
}

export function Time({ at }) {
  return at == null ? "–" : html`<time title=${utc(at)} dateTime=${utc(at)}>${stamp(at)}</time>`;
}

export function Empty({ children }) {
  return html`<p class="empty">${children}</p>`;
}

export function Trouble({ problem }) {
  if (!problem) return null;
  return html`<div class="trouble" role="alert"><b>${problem.title || "That did not work"}</b> ${problem.message}
    ${problem.faults?.length > 0 && html`<ul>${problem.faults.map((fault) => html`<li><code>${fault.pointer}</code> ${fault.detail}</li>`)}</ul>`}</div>`;
}

export function Meter({ share, state }) {
  return html`<span class="meter ${tone(state)}" role="progressbar" aria-valuemin="0" aria-valuemax="100"
    aria-valuenow=${Math.round(share * 100)}><i style=${{ width: `${share * 100}%` }}></i></span>`;
}

const toasts = new EventTarget();

export function say(text, state = "ok") {
  toasts.dispatchEvent(new CustomEvent("say", { detail: { text, state, id: Math.random() } }));
}

export function Toasts() {
  const [shown, set] = useState([]);
  useState(() => toasts.addEventListener("say", ({ detail }) => {
    set((before) => [...before.slice(-3), detail]);
    setTimeout(() => set((before) => before.filter(({ id }) => id !== detail.id)), 6_000);
  }));
  return html`<div class="toasts" role="status" aria-live="polite">
    ${shown.map(({ id, text, state }) => html`<div key=${id} class="toast ${tone(state)}">${text}</div>`)}</div>`;
}

// A button that asks the service for something and tells how that went. `sure`: it needs a second press.
export function Action({ label, path, method = "POST", body, done, sure, kind = "", then }) {
  const [state, set] = useState("rest");
  const press = async () => {
    if (sure && state === "rest") {
      set("asks");
      setTimeout(() => set((now) => (now === "asks" ? "rest" : now)), 4_000);
      return;
    }
    set("busy");
    try {
      const answer = method === "POST" ? await post(path, body) : await call(method, path, body);
      say(done);
      then?.(answer);
    } catch (problem) {
      say(problem.message, "failed");
    }
    set("rest");
  };
  return html`<button class="button ${kind} ${state}" disabled=${state === "busy"} onClick=${press}>
    ${state === "asks" ? sure : label}</button>`;
}

// What happened, newest first.
export function Events({ events, most }) {
  if (events.length === 0) return html`<${Empty}>Nothing has happened since the service was started.<//>`;
  const newest = events.slice(-most).reverse();
  return html`<ol class="events">${newest.map(({ seq, at, v }) => html`<li key=${seq} class=${tone(v.what === "resolved" ? "resolved" : v.severity)}>
    <${Time} at=${v.at ?? at} /><span class="what">${words(v.what)}</span>
    <span class="subject">${v.subject}</span><span class="detail" title=${v.detail}>${v.detail}</span></li>`)}</ol>`;
}
