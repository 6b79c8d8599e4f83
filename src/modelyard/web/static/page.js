// Makes the pages faster: search while typing, filters and paging without reloading, keyboard shortcuts, copy buttons.
// The pages work without this script. It requests only addresses that the page contains.

const $ = (id) => document.getElementById(id);
const root = document.documentElement;
root.classList.add("scripted");
const QUIET_MS = 15; // combines keys that arrive together, as from an input method, into one search
const COUNT_MS = 150; // counts take the server longer, so they are requested when the visitor stops typing

function announce(text) {
  $("announcement").textContent = text;
}

/** Fetch a part of a page as a fragment. Throws if signed out or on an error; the caller then loads the whole page. */
async function fetchPart(address, signal) {
  const response = await fetch(address, { signal, credentials: "same-origin", headers: { Accept: "text/html" } });
  if (response.redirected || !response.ok) throw new Error("load");
  const template = document.createElement("template");
  template.innerHTML = await response.text(); // from this server, which escapes the texts of models
  return template.content;
}

/** Replace elements by those of a fragment with the same id, and keep the focus. */
function replaceElements(fragment) {
  const focusedId = document.activeElement && document.activeElement.id;
  for (const element of [...fragment.children]) {
    const old = element.id && $(element.id);
    if (!old) continue;
    for (const group of element.querySelectorAll("details")) {
      const before = $(group.id);
      if (before) group.open = before.open;
    }
    old.replaceWith(element);
  }
  const opener = document.querySelector(".opener");
  const count = document.querySelectorAll(".chosen a[data-filter]").length;
  if (opener) opener.textContent = count ? `Filters (${count})` : "Filters";
  if (focusedId && document.activeElement === document.body) {
    const element = $(focusedId);
    if (element) element.focus({ preventScroll: true });
  }
}

// --- the gallery -----------------------------------------------------------------------------------------------------

function startGallery() {
  const form = $("search");
  const input = $("query");
  let latest = 0; // the number of the newest search; only its response may be shown
  let controller = null;
  let timer = 0;
  let isTypingSearch = false;

  const queryOf = (address) => new URL(address, location.href).search;
  const state = () => history.state || {};
  const remember = (change) => history.replaceState({ ...state(), ...change }, "");

  /** Load the results of a search, then its counts. The response of an older search never replaces a newer one's. */
  async function load(address, { push = false, top = true, counts = 0 } = {}) {
    const number = ++latest;
    if (controller) controller.abort();
    controller = new AbortController();
    const query = queryOf(address);
    const start = performance.now();
    if (push) {
      remember({ y: scrollY });
      history.pushState({}, "", "/" + query);
    }
    root.classList.add("waiting");
    try {
      const results = await fetchPart("/parts/results" + query, controller.signal);
      if (number !== latest) return;
      replaceElements(results);
      watch();
      if (top) scrollTo(0, 0);
      root.classList.remove("waiting");
      performance.measure("answer drawn", { start });
      if (counts) await new Promise((done) => { setTimeout(done, counts); });
      if (number !== latest) return;
      const filters = await fetchPart("/parts/filters" + query, controller.signal);
      if (number !== latest) return;
      replaceElements(filters);
      announce($("total") ? $("total").textContent : "");
    } catch (problem) {
      if (number !== latest || problem.name === "AbortError") return;
      location.assign("/" + query);
    } finally {
      if (number === latest) root.classList.remove("waiting");
    }
  }

  /** Return the address for the form's text and the active filters. */
  function buildAddress() {
    const parameters = new URLSearchParams(location.search);
    parameters.delete(form.dataset.cursor);
    if (input.value.trim()) parameters.set(input.name, input.value);
    else parameters.delete(input.name);
    const text = parameters.toString();
    return text ? "/?" + text : "/";
  }

  function search() {
    clearTimeout(timer);
    const address = buildAddress();
    if (queryOf(address) === location.search) return;
    // A search adds one entry to the history, however many keys it takes.
    if (!isTypingSearch) {
      remember({ y: scrollY });
      history.pushState({}, "", address);
      isTypingSearch = true;
    } else {
      history.replaceState({}, "", address);
    }
    document.title = `${input.value.trim() || "Models"} · Modelyard`;
    load(address, { counts: COUNT_MS });
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(search, QUIET_MS);
  });
  input.addEventListener("blur", () => { isTypingSearch = false; });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    search();
    isTypingSearch = false;
    const first = document.querySelector("#grid a");
    if (first) first.focus({ preventScroll: true });
  });

  document.addEventListener("change", (event) => {
    if (event.target.id !== "sort") return;
    const parameters = new URLSearchParams(location.search);
    parameters.delete(form.dataset.cursor);
    parameters.set("sort", event.target.value);
    load("/?" + parameters, { push: true });
  });

  // A field finds values of a long filter. Only its list is replaced.
  document.addEventListener("input", async (event) => {
    const field = event.target.closest(".find input");
    if (!field) return;
    const parameters = new URLSearchParams(location.search);
    parameters.set(field.name, field.value);
    const list = field.closest("details").querySelector("ul").id;
    try {
      const fragment = await fetchPart("/parts/filters?" + parameters);
      const values = fragment.querySelector("#" + list);
      if (values && field.value === parameters.get(field.name)) $(list).replaceWith(values);
    } catch {
      // The field's form asks for the whole page.
    }
  });

  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target.closest("a");
    if (!link || link.origin !== location.origin) return;
    if (link.classList.contains("skip")) {
      // Not followed: a new fragment in the address would load the results again, and lose the focus.
      event.preventDefault();
      document.querySelector(link.hash).focus();
      return;
    }
    if (link.pathname.startsWith("/models/")) {
      remember({ y: scrollY, from: link.id });
      return;
    }
    if (link.pathname !== "/" || link.classList.contains("brand")) return;
    event.preventDefault();
    if (link.id === "next") {
      loadMore(link, true);
      return;
    }
    if (link.id === "suggestion") input.value = link.textContent;
    if ($("drawer").contains(link)) load(link.href, { push: true, top: scrollY > 200 });
    else load(link.href, { push: true });
  });

  // Endless scrolling: the next page is loaded before the end of this one is visible. The history entry holds the pages.
  let isLoading = false;
  const observer = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) loadMore($("next"), false);
  }, { rootMargin: "1200px 0px" });

  function watch() {
    observer.disconnect();
    const next = $("next");
    if (next) observer.observe(next);
  }

  async function loadMore(next, takesFocus) {
    if (!next || isLoading) return;
    isLoading = true;
    const number = latest;
    try {
      const query = queryOf(next.href);
      const fragment = await fetchPart("/parts/results" + query);
      if (number !== latest) return;
      const first = append(fragment);
      remember({ pages: [...(state().pages || []), query] });
      if (takesFocus && first) first.focus();
      watch();
    } catch {
      observer.disconnect(); // the link to the next page stays
    } finally {
      isLoading = false;
    }
  }

  function append(fragment) {
    const cards = fragment.querySelectorAll(".card");
    const grid = $("grid");
    tellApart([...grid.querySelectorAll(".card")].slice(-cards.length), cards);
    if (grid) grid.append(...cards);
    $("more").replaceWith(fragment.querySelector("#more"));
    return cards.length ? cards[0].querySelector("a") : null;
  }

  /** Give drawings of new cards other colours where one of the cards before them has the same. */
  function tellApart(before, cards) {
    const look = (art) => art.querySelector("use").getAttribute("href") + art.getAttribute("class").split(" ")[1];
    const arts = (some) => [...some].map((card) => card.querySelector("svg.art")).filter(Boolean);
    const looks = new Set([...arts(before), ...arts(cards)].map(look));
    const seen = new Set(arts(before).map(look));
    for (const art of arts(cards)) {
      if (!seen.has(look(art))) continue;
      const [kind, , turn] = art.getAttribute("class").split(" ");
      const palettes = Array.from({ length: 12 }, (_, number) => `p${number}`);
      const other = palettes.find((palette) => !looks.has(art.querySelector("use").getAttribute("href") + palette));
      if (other) art.setAttribute("class", `${kind} ${other} ${turn}`);
      looks.add(look(art));
    }
  }

  /** Restore an entry of the history: its pages, the scroll position and the focus. */
  async function restore(reload) {
    const entry = state();
    if (reload) {
      const text = new URLSearchParams(location.search).get(input.name) || "";
      input.value = text;
      document.title = `${text || "Models"} · Modelyard`;
      await load(location.href, { top: false });
    }
    const number = latest;
    try {
      const rest = await Promise.all((entry.pages || []).map((query) => fetchPart("/parts/results" + query)));
      if (number !== latest) return;
      observer.disconnect();
      rest.forEach(append);
    } catch {
      // Scrolling loads the missing pages again.
    }
    if (entry.y !== undefined) scrollTo(0, entry.y);
    const from = entry.from && $(entry.from);
    if (from) from.focus({ preventScroll: true });
    watch();
  }

  history.scrollRestoration = "manual";
  addEventListener("popstate", () => restore(true));
  addEventListener("pagehide", () => remember({ y: scrollY }));
  if (state().pages || state().y !== undefined) restore(false);
  else watch();

  return input;
}

// --- choosing several ------------------------------------------------------------------------------------------------

/** Choose cards: click a box, shift-click for all between, the key `x` on a card. */
function startChoosing() {
  const boxes = () => [...document.querySelectorAll(".pick input")];
  let last = null;
  const count = () => {
    const number = boxes().filter((box) => box.checked).length;
    $("chosen-count").textContent = number === 1 ? "1 model chosen" : `${number} models chosen`;
    announce(number ? $("chosen-count").textContent : "");
  };
  const choose = (box, isChecked, withRange) => {
    const all = boxes();
    const [from, to] = [all.indexOf(last), all.indexOf(box)].sort((a, b) => a - b);
    const range = withRange && from >= 0 ? all.slice(from, to + 1) : [box];
    for (const each of range) each.checked = isChecked;
    last = box;
    count();
  };
  document.addEventListener("click", (event) => {
    const box = event.target.closest(".pick input");
    if (box) choose(box, box.checked, event.shiftKey);
  });
  document.addEventListener("keydown", (event) => {
    const card = document.activeElement && document.activeElement.closest(".card");
    const box = card && card.querySelector(".pick input");
    if (!box || event.key.toLowerCase() !== "x" || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    choose(box, event.shiftKey || !box.checked, event.shiftKey);
  });
  $("choose").addEventListener("reset", () => setTimeout(count));
  addEventListener("pageshow", count);
}

// --- keys ------------------------------------------------------------------------------------------------------------

const isTyping = (element) => element && (element.matches("input, textarea, select") || element.isContentEditable);

/** Move the focus to the next card in the direction of an arrow key. */
function moveFocus(key) {
  const links = [...document.querySelectorAll("#grid a")];
  const at = links.indexOf(document.activeElement);
  if (at < 0) {
    if (key !== "ArrowDown" || !links.length) return false;
    links[0].focus();
    return true;
  }
  const top = links[0].getBoundingClientRect().top;
  let columns = links.findIndex((link) => link.getBoundingClientRect().top > top + 4);
  if (columns < 1) columns = links.length;
  const to = at + { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key];
  if (to < 0 && $("query")) $("query").focus();
  else if (links[to]) links[to].focus();
  return true;
}

function startKeys(input) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey) return;
    const typing = isTyping(document.activeElement);
    if (event.key === "/" && !typing) {
      event.preventDefault();
      if (input) {
        input.focus();
        input.select();
      } else location.assign("/");
    } else if (event.key === "Escape") {
      if (document.activeElement === input && input) {
        if (input.value) {
          input.value = "";
          input.dispatchEvent(new Event("input"));
        } else input.blur();
        event.preventDefault();
      } else if ($("drawn") && $("drawn").checked) $("drawn").checked = false;
      else if (!typing && document.body.dataset.back) document.querySelector("a[data-leave]").click();
    } else if (event.key.startsWith("Arrow") && (!typing || (document.activeElement === input && event.key === "ArrowDown"))) {
      if (moveFocus(event.key)) event.preventDefault();
    }
  });
}

// --- copy buttons ---------------------------------------------------------------------------------------------------

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Without HTTPS, browsers offer navigator.clipboard for localhost only.
  const field = document.createElement("textarea");
  field.value = text;
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

function startButtons() {
  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await copy($(button.dataset.copy).textContent);
      announce("Copied");
      button.classList.add("done");
      setTimeout(() => { button.classList.remove("done"); }, 1500);
    });
  }
}

/** While the model's file is fetched or checked, show how far it is, and reload the page at the end. */
function waitForCheck() {
  const notice = $("checking");
  if (!notice) return;
  setTimeout(async () => {
    try {
      const page = await fetchPart(location.href);
      const current = page.querySelector("#checking");
      if (!current) return location.reload();
      notice.replaceWith(current);
      waitForCheck();
    } catch {
      // The page has a link to reload it.
    }
  }, 1500);
}

if ($("choose")) startChoosing();
startKeys($("results") ? startGallery() : $("query"));
startButtons();
waitForCheck();
