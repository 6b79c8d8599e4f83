// Uploads by tus 1.0, in pieces: progress, pause, and going on after a reload or a lost connection.
//
// What is on its way is noted in localStorage under the file's fingerprint (name, size, time of change, team): the
// upload's address and nothing secret. Choosing the same file again goes on where the server says it ends.

const place = document.getElementById("uploads");
const list = document.getElementById("list");
const form = document.getElementById("sending");
const PIECE_BYTES = 8 * 1024 * 1024; // lost at most when a connection breaks; the server writes what came of it all the same
const WAITS_MS = [500, 1000, 3000, 5000, 10000];
const SECTION = "modelyard upload ";

const wait = (ms) => new Promise((done) => { setTimeout(done, ms); });
const fingerprint = (file) => SECTION + [place.dataset.team, file.name, file.size, file.lastModified].join(" ");

/** What a server's answer says went wrong; `again` where trying later may help. */
class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
    this.again = status === 0 || status === 409 || status === 423 || status === 429 || status >= 500;
  }
}

function request(method, address, headers, body, onProgress, onOpen) {
  return new Promise((done, failed) => {
    const sending = new XMLHttpRequest(); // fetch does not tell how much of a body has been sent
    sending.open(method, address);
    const all = { "Tus-Resumable": "1.0.0", "Modelyard-Token": place.dataset.token, ...headers };
    for (const [name, value] of Object.entries(all)) sending.setRequestHeader(name, value);
    if (onProgress) sending.upload.onprogress = (event) => onProgress(event.loaded);
    sending.onload = () => {
      if (sending.status < 300) return done(sending);
      let message = `${sending.status} ${sending.statusText}`;
      try { message = JSON.parse(sending.responseText).message; } catch { /* the status says enough */ }
      failed(new Refusal(sending.status, message));
    };
    sending.onerror = () => failed(new Refusal(0, "no connection"));
    sending.onabort = () => failed(new Refusal(-1, "paused"));
    if (onOpen) onOpen(sending);
    sending.send(body || null);
  });
}

function base64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}

/** What the form says of the files, as tus spells it. A name is for one file only. */
function metadata(file, isOnly) {
  const said = new FormData(form);
  const pairs = [["filename", file.name]];
  for (const name of ["name", "type_name", "base_model", "base_model_type", "visibility", "tags", "is_nsfw"]) {
    const value = (said.get(name) || "").trim();
    if (value && (name !== "name" || isOnly)) pairs.push([name, value]);
  }
  return pairs.map(([name, value]) => `${name} ${base64(value)}`).join(",");
}

/** Begin the upload, or find the one that was begun; return its address and where it goes on. */
async function begin(file, isOnly) {
  const known = localStorage.getItem(fingerprint(file));
  if (known) {
    try {
      const answer = await request("HEAD", known, {});
      return { address: known, offset: Number(answer.getResponseHeader("Upload-Offset")) };
    } catch (problem) {
      if (problem.again) throw problem;
      localStorage.removeItem(fingerprint(file)); // expired, or given up elsewhere
    }
  }
  const answer = await request("POST", "/v3/uploads", { "Upload-Length": file.size, "Upload-Metadata": metadata(file, isOnly) });
  const address = new URL(answer.getResponseHeader("Location"), location.href).pathname;
  localStorage.setItem(fingerprint(file), address);
  return { address, offset: 0 };
}

/** Send one file, a row of the list showing how it goes. */
function upload(file, isOnly) {
  const row = document.createElement("li");
  row.className = "upload";
  const part = (tag, name, text) => {
    const made = document.createElement(tag);
    made.className = name;
    made.textContent = text;
    row.append(made);
    return made;
  };
  part("span", "file", file.name);
  const bar = part("progress", "", "");
  bar.max = Math.max(file.size, 1);
  bar.value = 0;
  bar.setAttribute("aria-label", `${file.name} sent`);
  const state = part("span", "state", "Waiting…");
  state.setAttribute("role", "status");
  const acts = part("span", "acts", "");
  const button = (text, act, kind = "quiet") => {
    const made = document.createElement("button");
    made.type = "button";
    made.className = kind;
    made.textContent = text;
    made.addEventListener("click", act);
    acts.append(made);
    return made;
  };
  for (const old of list.querySelectorAll("[data-unfinished]")) if (old.dataset.unfinished === fingerprint(file)) old.remove();
  list.prepend(row);

  let sending = null;
  let isPaused = false;
  let isGivenUp = false;
  const pause = button("Pause", () => {
    isPaused = !isPaused;
    pause.textContent = isPaused ? "Resume" : "Pause";
    if (isPaused && sending) sending.abort();
    if (!isPaused) send();
    else state.textContent = `Paused at ${percent(bar.value)}`;
  });
  const giveUp = button("Cancel", () => {
    isGivenUp = isPaused = true;
    if (sending) sending.abort();
    forget();
    row.remove();
  });

  /** Have the server let go of what it was sent; if it does not hear of it, that expires. */
  async function forget() {
    const address = localStorage.getItem(fingerprint(file));
    localStorage.removeItem(fingerprint(file));
    if (address) await request("DELETE", address, {}).catch(() => {});
  }

  const percent = (sent) => `${Math.floor((100 * sent) / Math.max(file.size, 1))} %`;
  const began = { at: 0, sent: 0 };
  function show(sent) {
    bar.value = sent;
    const seconds = (performance.now() - began.at) / 1000;
    const rate = (sent - began.sent) / seconds;
    const left = rate > 0 && seconds > 1 ? `, ${duration((file.size - sent) / rate)} left` : "";
    state.textContent = `${percent(sent)}${left}`;
  }

  async function send() {
    let failures = 0;
    while (!isPaused) {
      try {
        const { address, offset } = await begin(file, isOnly);
        if (isGivenUp) return forget(); // cancelled while the server was being asked for a place
        began.at = performance.now();
        began.sent = offset;
        let at = offset;
        while (at < file.size && !isPaused) {
          const piece = file.slice(at, at + PIECE_BYTES);
          const headers = { "Upload-Offset": at, "Content-Type": "application/offset+octet-stream" };
          const start = at;
          const answer = await request("PATCH", address, headers, piece, (sent) => show(start + sent), (open) => { sending = open; });
          at = Number(answer.getResponseHeader("Upload-Offset"));
          failures = 0;
          show(at);
        }
        if (at >= file.size && !isGivenUp) finish(address);
        return;
      } catch (problem) {
        if (isPaused) return;
        if (!problem.again || failures >= WAITS_MS.length) {
          row.classList.add("failed");
          state.textContent = problem.message;
          isPaused = true;
          pause.textContent = "Try again";
          return;
        }
        state.textContent = `${problem.message}; trying again…`;
        await wait(WAITS_MS[failures++]);
      }
    }
  }

  function finish(address) {
    localStorage.removeItem(fingerprint(file));
    pause.remove();
    giveUp.remove();
    bar.value = bar.max;
    state.textContent = "Arrived; it is being checked.";
    const link = document.createElement("a");
    link.className = "button";
    link.href = "/uploaded/" + address.split("/").pop();
    link.textContent = "Show the model";
    acts.append(link);
  }

  pause.addEventListener("click", () => row.classList.remove("failed"));
  send();
}

function duration(seconds) {
  if (seconds < 60) return `${Math.ceil(seconds)} s`;
  return seconds < 3600 ? `${Math.ceil(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function take(files) {
  const chosen = [...files];
  for (const file of chosen) {
    if (file.size > Number(place.dataset.max)) document.getElementById("told").textContent = `${file.name} is too large`;
    else upload(file, chosen.length === 1);
  }
}

const field = document.getElementById("files");
const drop = document.getElementById("drop");
field.addEventListener("change", () => {
  take(field.files);
  field.value = "";
});
form.addEventListener("submit", (event) => event.preventDefault());
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  drop.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", name === "dragenter" || name === "dragover");
    if (name === "drop") take(event.dataTransfer.files);
  });
}

// What was left unfinished in this browser, to be chosen again: a page cannot keep a file over a reload.
for (let at = 0; at < localStorage.length; at++) {
  const name = localStorage.key(at);
  if (!name.startsWith(SECTION + place.dataset.team + " ")) continue;
  const file = name.slice((SECTION + place.dataset.team + " ").length).split(" ").slice(0, -2).join(" ");
  const row = document.createElement("li");
  row.className = "upload";
  row.dataset.unfinished = name;
  const text = document.createElement("span");
  text.className = "file";
  text.textContent = file;
  const state = document.createElement("span");
  state.className = "state";
  state.textContent = "Not finished. Choose the file again, and it goes on where it ended.";
  row.append(text, state);
  list.append(row);
}
