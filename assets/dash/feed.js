// The live feed: one WebSocket for all channels. `docs/feed.md` describes the frames.
//
// State channels keep the newest value of each id, log channels the last entries. Views are told at most once a frame.
import { get, signedOut } from "./api.js";

const STATES = ["host", "agents", "workflows", "alerts", "service"];
const LOGS = ["events", "audit"];
const KEPT = 500;
const SPAN_MS = 5 * 60_000;
const STALE_MS = 3_500;
const EXPIRED = 4401;

class Feed {
  constructor() {
    this.link = "connecting";
    this.build = "";
    this.state = Object.fromEntries(STATES.map((name) => [name, new Map()]));
    this.logs = Object.fromEntries(LOGS.map((name) => [name, []]));
    // Of each metric of the host: times and values, oldest first.
    this.series = new Map();
    this.heard = 0;
    this.paints = [];
    this.watchers = new Set();
    this.dirty = new Set();
    this.seen = {};
    this.epoch = null;
    this.tries = 0;
    this.wanted = false;
    this.socket = null;
    addEventListener("online", () => this.now());
    document.addEventListener("visibilitychange", () => document.hidden || this.now());
  }

  watch(channels, tell) {
    const watcher = { channels, tell };
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }

  start() {
    if (this.wanted) return;
    this.wanted = true;
    this.open();
    this.pulse = setInterval(() => this.look(), 1_000);
  }

  stop() {
    this.wanted = false;
    clearInterval(this.pulse);
    this.drop();
    this.become("connecting");
  }

  // Tries at once where a wait for the next try is under way.
  now() {
    if (this.wanted && this.link === "offline") this.open();
  }

  // What a socket that was let go still says is heard by nobody.
  drop() {
    clearTimeout(this.later);
    const socket = this.socket;
    this.socket = null;
    if (socket === null) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  look() {
    if (this.link === "live" && Date.now() - this.heard > STALE_MS) this.become("stale");
  }

  become(link) {
    if (this.link !== link) {
      this.link = link;
      this.mark("link");
    }
  }

  open() {
    this.drop();
    this.become("connecting");
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/api/v1/stream`, "dsmil.v1.json");
    this.socket = socket;
    socket.onopen = () => {
      const resume = this.epoch === null ? undefined : { epoch: this.epoch, ...this.seen };
      socket.send(JSON.stringify({ t: "hello", v: 1, client: "web", resume }));
    };
    socket.onmessage = ({ data }) => this.take(JSON.parse(data));
    socket.onclose = ({ code }) => this.closed(code);
  }

  closed(code) {
    this.socket = null;
    if (code === EXPIRED) return void signedOut.dispatchEvent(new Event("now"));
    this.become("offline");
    // Full jitter: many pages do not come back in step.
    const wait = Math.random() * Math.min(30_000, 500 * 2 ** this.tries);
    this.tries += 1;
    this.later = setTimeout(() => this.open(), Math.max(wait, 200));
    // A handshake that is refused has no reason in a browser: ask whether we are still signed in.
    if (this.tries % 3 === 2) get("sessions/current").catch(() => {});
  }

  take(frame) {
    this.heard = Date.now();
    this.become("live");
    switch (frame.t) {
      case "welcome":
        this.welcome(frame);
        break;
      case "snap":
      case "delta":
        this.data(frame);
        break;
      case "gap":
        this.seen[frame.ch] = frame.to;
        break;
      case "err":
        console.warn("the feed refuses", frame.problem);
        break;
      default:
    }
  }

  welcome({ epoch, build, server_time }) {
    this.tries = 0;
    this.build = build;
    this.skew = Date.parse(server_time) - Date.now();
    if (epoch !== this.epoch) {
      this.epoch = epoch;
      this.seen = {};
    }
    [...STATES, ...LOGS].forEach((ch, id) => {
      const rate_hz = ch === "workflows" ? 20 : 10;
      this.socket.send(JSON.stringify({ t: "sub", id, ch, rate_hz }));
    });
    this.backfill();
  }

  data({ t, ch, seq, d }) {
    this.seen[ch] = seq;
    if (LOGS.includes(ch)) {
      const log = t === "snap" ? [] : this.logs[ch];
      log.push(...d);
      this.logs[ch] = log.slice(-KEPT);
    } else {
      const state = this.state[ch];
      if (t === "snap") state.clear();
      for (const { id, at, v } of d) {
        if (v === null) state.delete(id);
        else state.set(id, { ...v, at_ms: at });
      }
      if (ch === "host") d.forEach(({ id, v }) => v && this.reading(id, v.at, v.value));
    }
    this.mark(ch, t === "delta" && d.length > 0 ? d.at(-1).at : null);
  }

  reading(metric, at, value) {
    const series = this.series.get(metric) ?? { times: [], values: [] };
    this.series.set(metric, series);
    if (series.times.length > 0 && series.times.at(-1) >= at) return;
    series.times.push(at);
    series.values.push(value);
    while (series.times[0] < at - SPAN_MS) {
      series.times.shift();
      series.values.shift();
    }
  }

  // Fills the charts, also over the time that we were cut off: what nobody measured stays a gap.
  async backfill() {
    try {
      const { history } = await get("host");
      for (const [metric, points] of Object.entries(history)) {
        const newer = this.series.get(metric);
        const series = { times: points.map(([at]) => at), values: points.map(([, value]) => value) };
        this.series.set(metric, series);
        newer?.times.forEach((at, place) => this.reading(metric, at, newer.values[place]));
      }
      this.mark("host");
    } catch (problem) {
      console.warn("no history", problem);
    }
  }

  mark(channel, at = null) {
    this.dirty.add(channel);
    if (at !== null && this.oldest === undefined) this.oldest = at;
    if (this.due) return;
    this.due = true;
    // A hidden page gets no frames; it draws once it is looked at.
    requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.due = false;
    const changed = this.dirty;
    this.dirty = new Set();
    for (const { channels, tell } of [...this.watchers]) {
      if (channels.some((channel) => changed.has(channel))) tell();
    }
    const at = this.oldest;
    this.oldest = undefined;
    if (at !== undefined) afterPaint(() => this.painted(Date.now() - at));
  }

  // From the event at its source to the painted page: both clocks are the host's when page and service share it.
  painted(ms) {
    this.paints.push(ms);
    if (this.paints.length > 1_000) this.paints.shift();
  }
}

// Preact draws in a microtask, the frame is painted after that: a message then comes after the paint.
function afterPaint(then) {
  requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = then;
    port2.postMessage(null);
  });
}

export const feed = new Feed();
// For tests, and for those who want to know: `dsmil.paints` in the console.
globalThis.dsmil = feed;
