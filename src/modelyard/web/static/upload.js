// Uploads files by tus 1.0 in chunks. Shows the progress, and can pause and resume, also after a reload.
//
// localStorage holds the address of each unfinished upload, and nothing secret, under the file's fingerprint (team, name,
// size, time of change). If the visitor selects the same file again, the upload continues at the server's offset.

const section = document.getElementById("uploads");
const list = document.getElementById("list");
const form = document.getElementById("sending");
const CHUNK_BYTES = 8 * 1024 * 1024; // the most that a lost connection makes the browser send again
const VERDICT_WAIT_MS = 1000;
const WAITS_MS = [500, 1000, 3000, 5000, 10000];
const KEY_PREFIX = "modelyard upload ";

const wait = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
const fingerprint = (file) => KEY_PREFIX + [section.dataset.team, file.name, file.size, file.lastModified].join(" ");

/** An error response, or no response. `isRetryable`: the same request may succeed later. */
class RequestError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
    this.isRetryable = status === 0 || status === 409 || status === 423 || status === 429 || status >= 500;
  }
}

function sendRequest(method, address, headers, body, onProgress, onOpen) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest(); // fetch does not report how much of a body was sent
    xhr.open(method, address);
    const all = { "Tus-Resumable": "1.0.0", "Modelyard-Token": section.dataset.token, ...headers };
    for (const [name, value] of Object.entries(all)) xhr.setRequestHeader(name, value);
    if (onProgress) xhr.upload.onprogress = (event) => onProgress(event.loaded);
    xhr.onload = () => {
      if (xhr.status < 300) return resolve(xhr);
      let message = `${xhr.status} ${xhr.statusText}`;
      try { message = JSON.parse(xhr.responseText).message; } catch { /* the message is the status */ }
      reject(new RequestError(xhr.status, message));
    };
    xhr.onerror = () => reject(new RequestError(0, "Connection lost"));
    xhr.onabort = () => reject(new RequestError(-1, "Paused"));
    if (onOpen) onOpen(xhr);
    xhr.send(body || null);
  });
}

function base64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}

/** Return the form's fields as tus metadata. The name applies only if there is one file. */
function buildMetadata(file, isOnly) {
  const fields = new FormData(form);
  const pairs = [["filename", file.name]];
  for (const name of ["name", "type_name", "base_model", "base_model_type", "visibility", "tags", "is_nsfw"]) {
    const value = (fields.get(name) || "").trim();
    if (value && (name !== "name" || isOnly)) pairs.push([name, value]);
  }
  return pairs.map(([name, value]) => `${name} ${base64(value)}`).join(",");
}

/** Create an upload, or find the unfinished one. Returns its address and offset. */
async function openUpload(file, isOnly) {
  const previous = localStorage.getItem(fingerprint(file));
  if (previous) {
    try {
      const response = await sendRequest("HEAD", previous, {});
      return { address: previous, offset: Number(response.getResponseHeader("Upload-Offset")) };
    } catch (problem) {
      if (problem.isRetryable) throw problem;
      localStorage.removeItem(fingerprint(file)); // it expired, or was cancelled in another window
    }
  }
  const response = await sendRequest("POST", "/v3/uploads", { "Upload-Length": file.size, "Upload-Metadata": buildMetadata(file, isOnly) });
  const address = new URL(response.getResponseHeader("Location"), location.href).pathname;
  localStorage.setItem(fingerprint(file), address);
  return { address, offset: 0 };
}

/** Upload one file, and show its progress in a row of the list. */
function uploadFile(file, isOnly) {
  const row = document.createElement("li");
  row.className = "upload";
  const addElement = (tag, name, text) => {
    const element = document.createElement(tag);
    element.className = name;
    element.textContent = text;
    row.append(element);
    return element;
  };
  addElement("span", "file", file.name);
  const bar = addElement("progress", "", "");
  bar.max = Math.max(file.size, 1);
  bar.value = 0;
  bar.setAttribute("aria-label", `${file.name} sent`);
  const state = addElement("span", "state", "Waiting…");
  state.setAttribute("role", "status");
  const acts = addElement("span", "acts", "");
  const addButton = (text, act, kind = "quiet") => {
    const element = document.createElement("button");
    element.type = "button";
    element.className = kind;
    element.textContent = text;
    element.addEventListener("click", act);
    acts.append(element);
    return element;
  };
  for (const old of list.querySelectorAll("[data-unfinished]")) if (old.dataset.unfinished === fingerprint(file)) old.remove();
  list.prepend(row);

  let xhr = null;
  let isPaused = false;
  let isCancelled = false;
  const pause = addButton("Pause", () => {
    isPaused = !isPaused;
    pause.textContent = isPaused ? "Resume" : "Pause";
    if (isPaused && xhr) xhr.abort();
    if (!isPaused) send();
    else state.textContent = `Paused at ${percent(bar.value)}`;
  });
  const cancel = addButton("Cancel", () => {
    isCancelled = isPaused = true;
    if (xhr) xhr.abort();
    deleteUpload();
    row.remove();
  });

  /** Delete the upload on the server. If this request fails, the upload expires there. */
  async function deleteUpload() {
    const address = localStorage.getItem(fingerprint(file));
    localStorage.removeItem(fingerprint(file));
    if (address) await sendRequest("DELETE", address, {}).catch(() => {});
  }

  const percent = (sent) => `${Math.floor((100 * sent) / Math.max(file.size, 1))} %`;
  const origin = { at: 0, sent: 0 };
  function show(sent) {
    bar.value = sent;
    const seconds = (performance.now() - origin.at) / 1000;
    const rate = (sent - origin.sent) / seconds;
    const remaining = rate > 0 && seconds > 1 ? `, ${duration((file.size - sent) / rate)} left` : "";
    state.textContent = `${percent(sent)}${remaining}`;
  }

  async function send() {
    let failures = 0;
    while (!isPaused) {
      try {
        const { address, offset } = await openUpload(file, isOnly);
        if (isCancelled) return deleteUpload(); // cancelled while the server created the upload
        origin.at = performance.now();
        origin.sent = offset;
        let at = offset;
        while (at < file.size && !isPaused) {
          const chunk = file.slice(at, at + CHUNK_BYTES);
          const headers = { "Upload-Offset": at, "Content-Type": "application/offset+octet-stream" };
          const start = at;
          const response = await sendRequest("PATCH", address, headers, chunk, (sent) => show(start + sent), (request) => { xhr = request; });
          at = Number(response.getResponseHeader("Upload-Offset"));
          failures = 0;
          show(at);
        }
        if (at >= file.size && !isCancelled) finish(address);
        return;
      } catch (problem) {
        if (isPaused) return;
        if (!problem.isRetryable || failures >= WAITS_MS.length) {
          row.classList.add("failed");
          state.textContent = problem.message;
          isPaused = true;
          pause.textContent = "Retry";
          return;
        }
        state.textContent = `${problem.message}. Retrying…`;
        await wait(WAITS_MS[failures++]);
      }
    }
  }

  function finish(address) {
    localStorage.removeItem(fingerprint(file));
    pause.remove();
    cancel.remove();
    bar.value = bar.max;
    state.textContent = "Uploaded. The server is checking the file.";
    const link = document.createElement("a");
    link.className = "button";
    link.href = "/uploaded/" + address.split("/").pop();
    link.textContent = "Show the model";
    acts.append(link);
    showVerdict(link.href);
  }

  /** Show the result of the verification, which the page of the model has. */
  async function showVerdict(url) {
    for (;;) {
      await wait(VERDICT_WAIT_MS);
      try {
        const response = await fetch(url, { headers: { Accept: "text/html" } });
        if (response.status === 404) return; // the model was deleted meanwhile
        if (!response.ok) continue;
        const page = new DOMParser().parseFromString(await response.text(), "text/html");
        if (page.querySelector("#checking")) continue;
        const refusal = page.querySelector("#refusal");
        row.classList.toggle("failed", refusal !== null);
        state.textContent = refusal ? refusal.textContent : "Uploaded and checked. The model is available.";
        return;
      } catch {
        // The server may be away for a moment. The link to the model stays.
      }
    }
  }

  pause.addEventListener("click", () => row.classList.remove("failed"));
  send();
}

function duration(seconds) {
  if (seconds < 60) return `${Math.ceil(seconds)} s`;
  return seconds < 3600 ? `${Math.ceil(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function addFiles(files) {
  const selection = [...files];
  for (const file of selection) {
    if (file.size > Number(section.dataset.max)) document.getElementById("announcement").textContent = `${file.name} is too large`;
    else uploadFile(file, selection.length === 1);
  }
}

const field = document.getElementById("files");
const drop = document.getElementById("drop");
field.addEventListener("change", () => {
  addFiles(field.files);
  field.value = "";
});
form.addEventListener("submit", (event) => event.preventDefault());
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  drop.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", name === "dragenter" || name === "dragover");
    if (name === "drop") addFiles(event.dataTransfer.files);
  });
}

// List this browser's unfinished uploads. The visitor selects the file again: a page loses its files when it is reloaded.
for (let at = 0; at < localStorage.length; at++) {
  const name = localStorage.key(at);
  if (!name.startsWith(KEY_PREFIX + section.dataset.team + " ")) continue;
  const file = name.slice((KEY_PREFIX + section.dataset.team + " ").length).split(" ").slice(0, -2).join(" ");
  const row = document.createElement("li");
  row.className = "upload";
  row.dataset.unfinished = name;
  const text = document.createElement("span");
  text.className = "file";
  text.textContent = file;
  const state = document.createElement("span");
  state.className = "state";
  state.textContent = "Not finished. Choose the file again to resume.";
  row.append(text, state);
  list.append(row);
}
