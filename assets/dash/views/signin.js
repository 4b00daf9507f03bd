// The page of those who are not signed in.
import { html, useState } from "../dom.js";
import { post } from "../api.js";
import { Trouble } from "../parts.js";

export function SignIn({ entered }) {
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    try {
      await post("sessions", { token: new FormData(event.target).get("token").trim() });
      entered();
    } catch (refusal) {
      setProblem(refusal);
      setBusy(false);
    }
  };
  return html`<main class="signin"><form class="card" onSubmit=${submit}>
    <img src="/assets/dash/icon.svg" width="44" height="44" alt="" />
    <h1>Sign in to dsmil</h1>
    <p class="muted">on <b>${location.host}</b></p>
    <label for="token">Token</label>
    <input id="token" name="token" type="password" autocomplete="current-password" required autofocus spellcheck="false" />
    <button class="button main" disabled=${busy}>Sign in</button>
    <${Trouble} problem=${problem} />
    <p class="hint">The first token is in <code>admin.token</code> in the data directory of the service;${" "}
      <code>dsmil token create</code> makes one for each person. It is exchanged for a session of this browser.</p>
  </form></main>`;
}
