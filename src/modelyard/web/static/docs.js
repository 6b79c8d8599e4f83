// "Try it": sends the form's call with the key, and shows what came back. Without this script the form still works,
// without a key.

const form = document.querySelector("#try form");
const next = document.getElementById("following");
const { token } = document.getElementById("try").dataset; // of the session, where there is one
const show = (id, text) => { document.getElementById(id).textContent = text; };
let latest = 0;

function address() {
  const asked = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value) asked.append(name, value);
  const text = asked.toString();
  return "/v3/model" + (text ? "?" + text : "");
}

function quoted(text) {
  return "'" + text.replaceAll("'", "'\\''") + "'";
}

async function send() {
  const number = ++latest;
  const key = document.getElementById("key").value.trim();
  const path = address();
  const asksAsSomebody = key || token;
  const shownKey = asksAsSomebody ? ' \\\n  -H "Authorization: Bearer $KEY"' : "";
  show("curl", "curl" + shownKey + " \\\n  " + quoted(location.origin + path));
  document.getElementById("outcome").hidden = false;
  show("status", "Waiting…");
  const began = performance.now();
  const headers = key ? { Authorization: "Bearer " + key } : token ? { "Modelyard-Token": token } : {};
  try {
    const answer = await fetch(path, { headers, cache: "no-store" });
    const text = await answer.text();
    if (number !== latest) return; // a later call has been sent: its answer is the one to show
    const elapsed = Math.round(performance.now() - began);
    show("status", `${answer.status} ${answer.statusText} · ${text.length} characters · ${elapsed} ms`);
    show("headers", [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n"));
    const body = JSON.parse(text);
    show("body", JSON.stringify(body, null, 2));
    offer(body.pagination ? body.pagination.next_cursor : "");
  } catch (problem) {
    if (number !== latest) return;
    show("status", "No answer: " + problem.message);
    show("headers", "");
    show("body", "");
    offer("");
  }
}

function offer(cursor) {
  next.hidden = !cursor;
  next.dataset.cursor = cursor || "";
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
next.addEventListener("click", (event) => {
  event.preventDefault();
  form.elements["pagination.cursor"].value = next.dataset.cursor;
  send();
});
