// The dashboard: who is signed in, which view is open, and how the feed is doing.
import { html, render, useEffect, useFeed, useState } from "./dom.js";
import { call, get, me, signedOut } from "./api.js";
import { feed } from "./feed.js";
import { go, onMove } from "./route.js";
import { Icon, Pill, Toasts } from "./parts.js";
import { AgentPage, Agents } from "./views/agents.js";
import { Alerts } from "./views/alerts.js";
import { Audit } from "./views/audit.js";
import { Overview } from "./views/overview.js";
import { RunPage } from "./views/run.js";
import { SignIn } from "./views/signin.js";
import { Workflows } from "./views/workflows.js";

const VIEWS = [
  [/^\/$/, Overview, "overview"],
  [/^\/agents$/, Agents, "agents"],
  [/^\/agents\/([^/]+)$/, AgentPage, "agents"],
  [/^\/workflows$/, Workflows, "workflows"],
  [/^\/workflows\/([^/]+)$/, RunPage, "workflows"],
  [/^\/alerts$/, Alerts, "alerts"],
  [/^\/audit$/, Audit, "audit"],
];
const PAGES = [["overview", "/", "Overview"], ["agents", "/agents", "Agents"], ["workflows", "/workflows", "Workflows"], ["alerts", "/alerts", "Alerts"], ["audit", "/audit", "Audit log"]];
const THEMES = { auto: "dark", dark: "light", light: "auto" };

function useTheme() {
  const [theme, set] = useState(document.documentElement.dataset.theme);
  const turn = () => {
    const next = THEMES[theme] ?? "auto";
    document.documentElement.dataset.theme = next;
    localStorage.setItem("theme", next);
    set(next);
    feed.mark("host");
  };
  return [theme, turn];
}

function Nav({ open }) {
  useFeed("alerts");
  const [theme, turn] = useTheme();
  const firing = [...feed.state.alerts.values()].filter(({ state }) => state === "firing").length;
  const leave = async () => {
    await call("DELETE", "sessions").catch(() => {});
    signedOut.dispatchEvent(new Event("now"));
  };
  return html`<nav class="side" aria-label="Pages">
    <a class="brand" href="/"><img src="/assets/dash/icon.svg" width="28" height="28" alt="" /><span>dsmil</span></a>
    ${PAGES.map(([name, path, title]) => html`<a key=${name} href=${path} class=${open === name ? "open" : ""} aria-current=${open === name ? "page" : undefined} title=${title}>
      <${Icon} name=${name} /><span>${title}</span>${name === "alerts" && firing > 0 && html`<b class="count">${firing}</b>`}</a>`)}
    <span class="fill"></span>
    <a href="/docs" target="_self" title="API reference"><${Icon} name="docs" /><span>API reference</span></a>
    <button onClick=${turn} title="Theme: ${theme}" aria-label="Theme: ${theme}"><${Icon} name="theme" /><span>${theme} theme</span></button>
    <button onClick=${leave} title="Sign out" aria-label="Sign out"><${Icon} name="exit" /><span>Sign out</span></button>
    <p class="who"><b>${me.name}</b>${me.role}</p></nav>`;
}

const LINK = { connecting: "connecting", live: "live", stale: "no news, data may be old", offline: "not connected, trying again" };

function Link() {
  useFeed("link");
  return html`<div class="link" role="status"><${Pill} state=${feed.link} text=${LINK[feed.link]} />
    <span class="muted">${location.host}</span></div>`;
}

function Shell({ path }) {
  const [match, View, open] = VIEWS.map(([form, view, name]) => [form.exec(path), view, name]).find(([found]) => found) ?? [];
  useEffect(() => {
    document.title = `${PAGES.find(([name]) => name === open)?.[2] ?? "Not found"} · dsmil`;
  }, [open]);
  return html`<a class="skip" href="#main">Skip to the content</a><${Nav} open=${open} />
    <main id="main"><${Link} />
      ${View ? html`<${View} key=${path} id=${match[1] && decodeURIComponent(match[1])} />`
        : html`<h1>Not found</h1><p class="lead">There is no page <code>${path}</code>. <a href="/">Overview</a></p>`}</main>`;
}

function App() {
  const [path, setPath] = useState(location.pathname);
  const [state, setState] = useState("asking");
  const enter = async () => {
    try {
      Object.assign(me, await get("sessions/current"));
      feed.start();
      setState("in");
    } catch (problem) {
      setState(problem.status === 401 ? "out" : "unreachable");
      if (problem.status !== 401) setTimeout(enter, 2_000);
    }
  };
  useEffect(() => {
    onMove(() => setPath(location.pathname));
    signedOut.addEventListener("now", () => {
      feed.stop();
      setState("out");
    });
    enter();
  }, []);
  const page = {
    asking: () => null,
    unreachable: () => html`<main class="signin"><p class="card">The service does not answer. Trying again …</p></main>`,
    out: () => html`<${SignIn} entered=${enter} />`,
    in: () => html`<${Shell} path=${path} />`,
  };
  return html`${page[state]()}<${Toasts} />`;
}

// `/` leads to the search of the page, as in many tools.
addEventListener("keydown", (event) => {
  const search = document.querySelector("input.search");
  if (event.key === "/" && search && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) {
    event.preventDefault();
    search.focus();
  }
});

render(html`<${App} />`, document.getElementById("app"));
