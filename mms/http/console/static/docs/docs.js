// Shows the description of this listener. A key stays in this page's memory and goes into a header, never into a URL.

const form = document.getElementById("key-form");
const problem = document.getElementById("problem");
let key = "";

async function show() {
  const answer = await fetch("/openapi.json", { headers: key ? { "X-Api-Key": key } : {} });
  if (answer.status === 401 || answer.status === 403) {
    form.hidden = false;
    problem.textContent = key ? "The key is not valid." : "";
    document.getElementById("key").focus();
    return;
  }
  if (!answer.ok) {
    form.hidden = false;
    problem.textContent = `The description could not be read: ${answer.status}`;
    return;
  }
  form.hidden = true;
  window.SwaggerUIBundle({
    spec: await answer.json(),
    domNode: document.getElementById("api"),
    deepLinking: false,
    defaultModelsExpandDepth: 0,
    docExpansion: "list",
    validatorUrl: null,
    requestInterceptor: (request) => {
      if (key && new URL(request.url, location.href).origin === location.origin) {
        request.headers["X-Api-Key"] = key;
      }
      return request;
    },
  });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  key = document.getElementById("key").value.trim();
  document.getElementById("key").value = "";
  show();
});

show();
