// Addresses: each view has one that can be kept and sent on.
const moved = new EventTarget();

export function go(path) {
  history.pushState(null, "", path);
  scrollTo(0, 0);
  moved.dispatchEvent(new Event("moved"));
}

export function onMove(tell) {
  moved.addEventListener("moved", tell);
  addEventListener("popstate", tell);
}

// A plain press on a link within the dashboard changes the view without a new page.
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!link || !plain || link.target || link.origin !== location.origin || /^\/(api|docs|metrics)\b/.test(link.pathname)) return;
  event.preventDefault();
  go(link.pathname + link.search);
});
