// What makes the pages quicker: search as you type, filters and pages without reloading, keys, copying, undo.
// Everything works without this file; it only ever follows addresses that the page itself has.

const $ = (id) => document.getElementById(id);
const root = document.documentElement;
const QUIET_MS = 15; // keys that come at once, as an input method's do, are one question; its answer takes milliseconds
const COUNT_MS = 150; // counts take the server longer: they are for whoever has stopped typing

function tell(text) {
  $("told").textContent = text;
}

/** Fetch a piece of a page as a fragment; what is not ours to show (signed out, an error) is left to a real load. */
async function piece(address, signal) {
  const answer = await fetch(address, { signal, credentials: "same-origin", headers: { Accept: "text/html" } });
  if (answer.redirected || !answer.ok) throw new Error("load");
  const made = document.createElement("template");
  made.innerHTML = await answer.text(); // our own server's page: what comes from models was escaped there
  return made.content;
}

/** Put the parts of a fragment in the place of those with the same id, and keep the focus where it was. */
function put(fragment) {
  const focused = document.activeElement && document.activeElement.id;
  for (const element of [...fragment.children]) {
    const old = element.id && $(element.id);
    if (old) old.replaceWith(element);
  }
  if (focused && document.activeElement === document.body) {
    const again = $(focused);
    if (again) again.focus({ preventScroll: true });
  }
}

// --- the gallery -----------------------------------------------------------------------------------------------------

function gallery() {
  const form = $("search");
  const input = $("query");
  let latest = 0; // the number of the question whose answer may be drawn
  let asking = null;
  let typing = 0;
  let startedTyping = false;

  const queryOf = (address) => new URL(address, location.href).search;
  const state = () => history.state || {};
  const remember = (change) => history.replaceState({ ...state(), ...change }, "");

  /** Ask a question: results first, then the counts. An older question's answer is never drawn over a newer one's. */
  async function ask(address, { push = false, top = true, counts = 0 } = {}) {
    const number = ++latest;
    if (asking) asking.abort();
    asking = new AbortController();
    const query = queryOf(address);
    const began = performance.now();
    if (push) {
      remember({ y: scrollY });
      history.pushState({}, "", "/" + query);
    }
    root.classList.add("waiting");
    try {
      const results = await piece("/parts/results" + query, asking.signal);
      if (number !== latest) return;
      put(results);
      watch();
      if (top) scrollTo(0, 0);
      root.classList.remove("waiting");
      performance.measure("answer drawn", { start: began });
      if (counts) await new Promise((done) => { setTimeout(done, counts); });
      if (number !== latest) return;
      const filters = await piece("/parts/filters" + query, asking.signal);
      if (number !== latest) return;
      put(filters);
      tell($("total") ? $("total").textContent : "");
    } catch (problem) {
      if (number !== latest || problem.name === "AbortError") return;
      location.assign("/" + query);
    } finally {
      if (number === latest) root.classList.remove("waiting");
    }
  }

  /** The address of what the form says, with the filters that act now. */
  function typed() {
    const asked = new URLSearchParams(location.search);
    asked.delete(form.dataset.cursor);
    if (input.value.trim()) asked.set(input.name, input.value);
    else asked.delete(input.name);
    const text = asked.toString();
    return text ? "/?" + text : "/";
  }

  function search() {
    clearTimeout(typing);
    const address = typed();
    if (queryOf(address) === location.search) return;
    // One entry of the history a search, however many keys it took.
    if (!startedTyping) {
      remember({ y: scrollY });
      history.pushState({}, "", address);
      startedTyping = true;
    } else {
      history.replaceState({}, "", address);
    }
    document.title = `${input.value.trim() || "Models"} · Modelyard`;
    ask(address, { counts: COUNT_MS });
  }

  input.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(search, QUIET_MS);
  });
  input.addEventListener("blur", () => { startedTyping = false; });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    search();
    startedTyping = false;
    const first = document.querySelector("#grid a");
    if (first) first.focus({ preventScroll: true });
  });

  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target.closest("a");
    if (!link || link.origin !== location.origin) return;
    if (link.pathname.startsWith("/models/")) {
      remember({ y: scrollY, from: link.id });
      return;
    }
    if (link.pathname !== "/" || link.classList.contains("brand")) return;
    event.preventDefault();
    if (link.id === "next") {
      more(link, true);
      return;
    }
    if (link.id === "suggestion") input.value = link.textContent;
    if ($("drawer").contains(link)) ask(link.href, { push: true, top: scrollY > 200 });
    else ask(link.href, { push: true });
  });

  // Endless: the next page is fetched before its end comes into sight. Which pages were, is kept with the history entry.
  let loading = false;
  const sight = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) more($("next"), false);
  }, { rootMargin: "1200px 0px" });

  function watch() {
    sight.disconnect();
    const next = $("next");
    if (next) sight.observe(next);
  }

  async function more(next, takesFocus) {
    if (!next || loading) return;
    loading = true;
    const number = latest;
    try {
      const query = queryOf(next.href);
      const fragment = await piece("/parts/results" + query);
      if (number !== latest) return;
      const added = append(fragment);
      remember({ pages: [...(state().pages || []), query] });
      if (takesFocus && added) added.focus();
      watch();
    } catch {
      sight.disconnect(); // the link stays, to be followed by hand
    } finally {
      loading = false;
    }
  }

  function append(fragment) {
    const cards = fragment.querySelectorAll(".card");
    const grid = $("grid");
    if (grid) grid.append(...cards);
    $("more").replaceWith(fragment.querySelector("#more"));
    return cards.length ? cards[0].querySelector("a") : null;
  }

  /** Show an entry of the history as it was left: its pages, and the place. */
  async function restore(reload) {
    const left = state();
    if (reload) {
      const text = new URLSearchParams(location.search).get(input.name) || "";
      input.value = text;
      document.title = `${text || "Models"} · Modelyard`;
      await ask(location.href, { top: false });
    }
    const number = latest;
    try {
      const rest = await Promise.all((left.pages || []).map((query) => piece("/parts/results" + query)));
      if (number !== latest) return;
      sight.disconnect();
      rest.forEach(append);
    } catch {
      // Whatever could not be fetched is fetched again by scrolling.
    }
    if (left.y !== undefined) scrollTo(0, left.y);
    const from = left.from && $(left.from);
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

// --- keys ------------------------------------------------------------------------------------------------------------

const isTyping = (element) => element && (element.matches("input, textarea, select") || element.isContentEditable);

/** Move the focus among cards as they lie on the screen. */
function move(key) {
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

function keys(input) {
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
      } else if (!typing && document.body.dataset.back) leave();
    } else if (event.key.startsWith("Arrow") && (!typing || (document.activeElement === input && event.key === "ArrowDown"))) {
      if (move(event.key)) event.preventDefault();
    }
  });
}

/** Go back to the gallery: by the history where that is where we came from, so that it is as it was left. */
function leave() {
  const from = document.referrer && new URL(document.referrer);
  if (from && from.origin === location.origin && from.pathname === "/" && history.length > 1) history.back();
  else location.assign("/");
}

// --- copying, and forms that ask first -------------------------------------------------------------------------------

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Plain HTTP to another machine has no clipboard of the new kind.
  const field = document.createElement("textarea");
  field.value = text;
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

function buttons() {
  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await copy($(button.dataset.copy).textContent);
      tell("Copied");
      button.classList.add("done");
      setTimeout(() => { button.classList.remove("done"); }, 1500);
    });
  }
  for (const link of document.querySelectorAll("a[data-leave]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      leave();
    });
  }
}

/** A model whose file is being checked: look again until that is done. */
function waitForCheck() {
  const notice = $("checking");
  if (!notice) return;
  setTimeout(async () => {
    try {
      const fresh = await piece(location.href);
      if (fresh.querySelector("#checking")) waitForCheck();
      else location.reload();
    } catch {
      // The page says how to look again.
    }
  }, 1500);
}

keys($("results") ? gallery() : $("query"));
buttons();
waitForCheck();
