// A live chart of the last five minutes: uPlot with what it lacks, a label in words for those who do not see it.
import { feed } from "./feed.js";
import { html, useEffect, useFeed, useRef, useState } from "./dom.js";
import { clock, reading } from "./format.js";

const SPAN_S = 300;
// Readings come every second: a longer silence is a gap, not a line.
const GAP_MS = 5_000;
const HEIGHT = 132;

// Times and values of several metrics on one axis of time; null where one of them has no reading.
export function joined(metrics, series) {
  const at = new Map();
  metrics.forEach((metric, row) => {
    const { times, values } = series.get(metric) ?? { times: [], values: [] };
    times.forEach((time, place) => {
      // Within a tick all readings carry the same time.
      const values_at = at.get(time) ?? new Array(metrics.length).fill(null);
      values_at[row] = values[place];
      at.set(time, values_at);
    });
  });
  const columns = metrics.map(() => []);
  const times = [];
  let before = null;
  for (const time of [...at.keys()].sort((a, b) => a - b)) {
    if (before !== null && time - before > GAP_MS) {
      times.push((before + 1_000) / 1000);
      columns.forEach((column) => column.push(null));
    }
    times.push(time / 1000);
    columns.forEach((column, row) => column.push(at.get(time)[row]));
    before = time;
  }
  return [times, ...columns];
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function options(lines, unit, width, onPoint) {
  const axis = { stroke: () => colour("--muted"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { show: false } };
  const font = "11px system-ui, sans-serif";
  return {
    width,
    height: HEIGHT,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { size: 6 } },
    scales: {
      x: { time: true, range: () => [Date.now() / 1000 - SPAN_S, Date.now() / 1000] },
      y: { range: (_, low, high) => [0, unit === "ratio" ? Math.max(high ?? 0, 0.05) * 1.15 : Math.max(high ?? 0, 1) * 1.15] },
    },
    axes: [
      { ...axis, font, size: 24, space: 70, values: (_, times) => times.map((time) => clock(time * 1000).slice(0, 5)) },
      { ...axis, font, size: 56, space: 34, values: (_, values) => values.map((value) => reading(value, unit)) },
    ],
    series: [
      {},
      ...lines.map(({ name, tint }) => ({
        label: name,
        stroke: () => colour(tint),
        fill: () => `color-mix(in srgb, ${colour(tint)} 12%, transparent)`,
        width: 1.6,
        points: { show: false },
        spanGaps: false,
      })),
    ],
    hooks: { setCursor: [(plot) => onPoint(plot.cursor.idx ?? null)] },
  };
}

// `lines`: the metric, its name and its tint, of each line.
export function Chart({ title, lines, unit }) {
  useFeed("host");
  const box = useRef(null);
  const plot = useRef(null);
  const [point, setPoint] = useState(null);
  const metrics = lines.map(({ metric }) => metric);
  const data = joined(metrics, feed.series);

  useEffect(() => {
    const made = new uPlot(options(lines, unit, box.current.clientWidth, setPoint), data, box.current);
    plot.current = made;
    const fit = new ResizeObserver(() => made.setSize({ width: box.current.clientWidth, height: HEIGHT }));
    fit.observe(box.current);
    return () => {
      fit.disconnect();
      made.destroy();
    };
  }, []);
  useEffect(() => plot.current?.setData(data));

  const at = point ?? data[0].length - 1;
  const shown = lines.map((line, row) => ({ ...line, value: data[row + 1][at] ?? null }));
  const label = shown.map(({ name, value }) => `${name} ${value === null ? "unknown" : reading(value, unit)}`).join(", ");
  return html`<section class="card chart">
    <header><h2>${title}</h2>
      <span class="legend">${shown.map(({ name, tint, value }) => html`<span class="key ${tint.slice(2)}">
        <i></i>${lines.length > 1 ? `${name} ` : ""}<b>${value === null ? "–" : reading(value, unit)}</b></span>`)}
        ${point !== null && data[0][at] !== undefined && html`<span class="muted">${clock(data[0][at] * 1000)}</span>`}
      </span></header>
    <div ref=${box} class="plot" role="img" aria-label="${title}, last five minutes; now ${label}"></div>
  </section>`;
}
