// The HTTP API. A refusal comes back as a Problem (RFC 9457).
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `the service answered ${status}`);
    this.status = status;
    this.title = body.title ?? "";
    this.faults = body.errors ?? [];
  }
}

export const signedOut = new EventTarget();

export async function call(method, path, body) {
  let response;
  try {
    response = await fetch(`/api/v1/${path}`, {
      method,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Problem(0, { title: "Not reachable", detail: "the service does not answer" });
  }
  const text = await response.text();
  let answer = null;
  try {
    answer = text === "" ? null : JSON.parse(text);
  } catch {
    answer = { detail: text };
  }
  if (response.ok) return answer;
  if (response.status === 401 && path !== "sessions") signedOut.dispatchEvent(new Event("now"));
  throw new Problem(response.status, answer ?? {});
}

export const get = (path) => call("GET", path);
export const post = (path, body) => call("POST", path, body);

const RANK = { viewer: 0, operator: 1, admin: 2 };

// Who is signed in; set once by the app.
export const me = { name: "", role: "viewer", may: (role) => RANK[me.role] >= RANK[role] };
