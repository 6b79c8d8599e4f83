// "Try it": sends the request of the form with the key, and shows the response. Without this script the form works
// without a key.

const form = document.querySelector("#try form");
const next = document.getElementById("next-page");
const { token } = document.getElementById("try").dataset; // the session's token, if the visitor is signed in
const show = (id, text) => { document.getElementById(id).textContent = text; };
let latest = 0; // the number of the newest request

function buildAddress() {
  const parameters = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value) parameters.append(name, value);
  const text = parameters.toString();
  return "/v3/model" + (text ? "?" + text : "");
}

function quote(text) {
  return "'" + text.replaceAll("'", "'\\''") + "'";
}

async function sendRequest() {
  const number = ++latest;
  const key = document.getElementById("key").value.trim();
  const path = buildAddress();
  const header = key || token ? ' \\\n  -H "Authorization: Bearer $KEY"' : "";
  show("curl", "curl" + header + " \\\n  " + quote(location.origin + path));
  document.getElementById("outcome").hidden = false;
  show("status", "Waiting…");
  const start = performance.now();
  const headers = key ? { Authorization: "Bearer " + key } : token ? { "Modelyard-Token": token } : {};
  try {
    const response = await fetch(path, { headers, cache: "no-store" });
    const text = await response.text();
    if (number !== latest) return; // a newer request was sent, and its response is shown instead
    const elapsed = Math.round(performance.now() - start);
    show("status", `${response.status} ${response.statusText} · ${text.length} characters · ${elapsed} ms`);
    show("headers", [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n"));
    const body = JSON.parse(text);
    show("body", JSON.stringify(body, null, 2));
    offerNextPage(body.pagination ? body.pagination.next_cursor : "");
  } catch (problem) {
    if (number !== latest) return;
    show("status", "Request failed: " + problem.message);
    show("headers", "");
    show("body", "");
    offerNextPage("");
  }
}

function offerNextPage(cursor) {
  next.hidden = !cursor;
  next.dataset.cursor = cursor || "";
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  sendRequest();
});
next.addEventListener("click", (event) => {
  event.preventDefault();
  form.elements["pagination.cursor"].value = next.dataset.cursor;
  sendRequest();
});
