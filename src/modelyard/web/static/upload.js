// Uploads files by tus 1.0 in chunks. Shows the progress, and can pause and resume, also after a reload.
//
// localStorage holds the address of each unfinished upload, and nothing secret, under the file's fingerprint (team, name,
// size, time of change). If the visitor selects the same file again, the upload continues at the server's offset.

const section = document.getElementById("uploads");
const list = document.getElementById("list");
const template = document.getElementById("fields");
const sendAll = document.getElementById("send-all");
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

/** Return the fields of a file's form as tus metadata. */
function buildMetadata(file, form) {
  const pairs = [["filename", file.name]];
  for (const [name, text] of new FormData(form)) {
    const value = text.trim();
    if (value) pairs.push([name, value]);
  }
  return pairs.map(([name, value]) => `${name} ${base64(value)}`).join(",");
}

/** Create an upload, or find the unfinished one. Returns its address and offset. */
async function openUpload(file, form) {
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
  const response = await sendRequest("POST", "/v3/uploads", { "Upload-Length": file.size, "Upload-Metadata": buildMetadata(file, form) });
  const address = new URL(response.getResponseHeader("Location"), location.href).pathname;
  localStorage.setItem(fingerprint(file), address);
  return { address, offset: 0 };
}

/** Return the SHA-256 of a file. A worker computes it, so that the page answers meanwhile. */
function hashFile(file, onRead) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(section.dataset.hasher);
    worker.onerror = () => reject(new Error("hash"));
    worker.onmessage = ({ data }) => {
      if (data.hash === undefined) return onRead(data.read);
      worker.terminate();
      resolve(data.hash);
    };
    worker.postMessage(file);
  });
}

/** Return the models that have the same bytes. Only if a model has the same size, the file is read and hashed. */
async function findDuplicates(file, onRead) {
  const sizes = await fetch(`/parts/sizes?bytes=${file.size}`);
  if (!sizes.ok || !(await sizes.json()).is_known) return [];
  const response = await fetch("/v3/model/by-hash", {
    method: "POST",
    headers: { "Content-Type": "application/json", "Modelyard-Token": section.dataset.token },
    body: JSON.stringify({ hashes: [await hashFile(file, onRead)] }),
  });
  return response.ok ? (await response.json()).models : [];
}

/** Return why a file is refused before anything is sent; empty if it is not. */
function findProblem(file) {
  const extension = file.name.includes(".") ? file.name.split(".").pop().toLowerCase() : "";
  const extensions = section.dataset.extensions.split(" ");
  if (!extensions.includes(extension)) return `${extension ? `.${extension} files are` : "A file without an extension is"} not accepted; accepted: ${extensions.join(", ")}`;
  if (file.size > Number(section.dataset.max)) return `The file has ${bytes(file.size)}; accepted: up to ${bytes(Number(section.dataset.max))}`;
  return file.size ? "" : "The file is empty";
}

/** Show a file in the list, with its fields. It is sent when the visitor says so; an unfinished one continues at once. */
function addFile(file) {
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
  const state = addElement("span", "state", "");
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
  const problem = findProblem(file);
  if (problem) {
    row.classList.add("failed");
    state.textContent = problem;
    addButton("Remove", () => row.remove());
    return;
  }
  const form = addForm(row);
  if (localStorage.getItem(fingerprint(file))) return sendFile(file, form, row, bar, state, addButton);
  const start = addButton("Send", () => {
    staged.delete(start);
    showSendAll();
    start.remove();
    remove.remove();
    sendFile(file, form, row, bar, state, addButton);
  }, "");
  const remove = addButton("Remove", () => {
    staged.delete(start);
    showSendAll();
    row.remove();
  });
  stage(file, state, start);
}

const staged = new Set(); // the buttons "Send" of the files that can be sent

function showSendAll() {
  sendAll.hidden = staged.size < 2;
  sendAll.textContent = `Send all ${staged.size} files`;
}
sendAll.addEventListener("click", () => { for (const button of [...staged]) button.click(); });

/** Name the duplicates of a file, then allow to send it. */
async function stage(file, state, start) {
  start.disabled = true;
  state.textContent = "Looking for duplicates…";
  let duplicates = [];
  try {
    duplicates = await findDuplicates(file, (read) => { state.textContent = `Looking for duplicates… ${Math.floor((100 * read) / file.size)} %`; });
  } catch {
    // Without the answer, the server still finds the same file after the upload.
  }
  state.textContent = duplicates.length ? "This file is already here: " : `Ready to send, ${bytes(file.size)}`;
  duplicates.slice(0, 3).forEach((model, number) => {
    const link = document.createElement("a");
    link.href = `/models/${model.id}`;
    link.textContent = model.name;
    state.append(number ? ", " : "", link);
  });
  if (duplicates.length) start.textContent = "Send anyway";
  start.disabled = false;
  if (start.isConnected && !duplicates.length) staged.add(start);
  showSendAll();
}

let formCount = 0;

/** Add the fields of a file to its row. */
function addForm(row) {
  const form = template.content.cloneNode(true).querySelector("form");
  const suffix = `-${++formCount}`;
  for (const element of form.querySelectorAll("[id]")) element.id += suffix;
  for (const label of form.querySelectorAll("label[for]")) label.htmlFor += suffix;
  form.addEventListener("submit", (event) => event.preventDefault());
  row.append(form);
  return form;
}

/** Upload a file, and show its progress in its row. */
function sendFile(file, form, row, bar, state, addButton) {
  form.hidden = true;
  state.textContent = "Waiting…";
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
    const speed = rate > 0 && seconds > 0.2 ? `, ${bytes(rate)}/s, ${duration((file.size - sent) / rate)} left` : "";
    state.textContent = `${percent(sent)}${speed}`;
  }

  async function send() {
    let failures = 0;
    while (!isPaused) {
      try {
        const { address, offset } = await openUpload(file, form);
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
    row.querySelector(".acts").append(link);
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
        const findings = await describeFindings(response.url);
        state.textContent = `${refusal ? refusal.textContent : "Uploaded and checked. The model is available."}${findings}`;
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

function bytes(count) {
  for (const [unit, name] of [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]]) if (count >= unit) return `${(count / unit).toFixed(1)} ${name}`;
  return `${Math.round(count)} bytes`;
}

/** Return what the server found in the file of a model, as a sentence; empty if it found nothing. */
async function describeFindings(url) {
  const response = await fetch(`/v3/model/details?id=${new URL(url).pathname.split("/").pop()}`, { headers: { "Modelyard-Token": section.dataset.token } });
  if (!response.ok) return "";
  const { found } = await response.json();
  const words = found.trigger_words || [];
  const parts = [found.type && found.type.display_name, found.base_model, found.title, words.length && `trigger words ${words.slice(0, 5).join(", ")}`];
  const known = parts.filter(Boolean);
  return known.length ? ` Found: ${known.join(", ")}.` : "";
}

const field = document.getElementById("files");
const drop = document.getElementById("drop");
field.addEventListener("change", () => {
  for (const file of [...field.files]) addFile(file);
  field.value = "";
});
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  drop.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", name === "dragenter" || name === "dragover");
    if (name === "drop") for (const file of [...event.dataTransfer.files]) addFile(file);
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
