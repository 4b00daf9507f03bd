// Reads the description with the rights of whoever is signed in, and has Swagger UI draw it.
const DESCRIPTION = "/api/openapi.json";

async function start() {
  const answer = await fetch(DESCRIPTION, { credentials: "same-origin" });
  if (answer.ok) {
    SwaggerUIBundle({
      spec: await answer.json(),
      dom_id: "#reference",
      deepLinking: true,
      docExpansion: "list",
      defaultModelsExpandDepth: 0,
      displayRequestDuration: true,
      filter: true,
      validatorUrl: null,
    });
    return;
  }
  const why = answer.status === 401 ? "Sign in on the " : `The service answered ${answer.status}. Try again, or see the `;
  const dashboard = Object.assign(document.createElement("a"), { href: "/", textContent: "dashboard" });
  const line = document.createElement("p");
  line.append(why, dashboard, ", then come back: the reference is shown to whoever may look.");
  document.getElementById("reference").replaceChildren(line);
}

start();
