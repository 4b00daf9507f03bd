// How figures, times and names are written; the same everywhere.
const DASH = "–";

export function percent(ratio, digits = 0) {
  return ratio == null ? DASH : `${(ratio * 100).toFixed(digits)} %`;
}

export function bytes(count) {
  if (count == null) return DASH;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let place = 0;
  while (count >= 1024 && place < units.length - 1) {
    count /= 1024;
    place += 1;
  }
  return `${count < 10 && place > 0 ? count.toFixed(1) : Math.round(count)} ${units[place]}`;
}

export function millis(ms) {
  if (ms == null) return DASH;
  if (ms === 0) return "0";
  if (ms < 1) return "<1 ms";
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  const seconds = Math.round(ms / 1000);
  return seconds < 3600
    ? `${Math.floor(seconds / 60)} min ${seconds % 60} s`
    : `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

export function count(value) {
  return value == null ? DASH : value.toLocaleString("en-GB");
}

// A reading in the unit of its metric.
export function reading(value, unit) {
  if (unit === "ratio") return percent(value, value < 0.1 ? 1 : 0);
  if (unit === "bytes") return bytes(value);
  return Number.isInteger(value) ? count(value) : value.toFixed(2);
}

const pad = (part) => String(part).padStart(2, "0");

// Local time of day; the full time in UTC belongs into the title next to it.
export function clock(time) {
  const at = new Date(time);
  return `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
}

export function stamp(time) {
  if (time == null) return DASH;
  const at = new Date(time);
  const today = at.toDateString() === new Date().toDateString();
  return today ? clock(at) : `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${clock(at)}`;
}

export function utc(time) {
  return time == null ? "" : new Date(time).toISOString();
}

export function words(name) {
  return String(name ?? "").replaceAll("_", " ");
}

// The end of a time-ordered id tells runs apart; its start is the time.
export function short(id) {
  return String(id).slice(-8);
}
