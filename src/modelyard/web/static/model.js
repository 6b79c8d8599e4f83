// A model's page: the way back to the list as it was, with its pages and its place. Versions are tabs of one page, so a
// version replaces the one before in the history. Without this script, the links lead to the same addresses.

const LIST = "modelyard list"; // the address of the last list
const REPLACED = "modelyard replaced"; // the path of the version that replaces one whose list is the entry before

const comesFromList = () => Boolean(history.state && history.state.list);
const markList = () => history.replaceState({ ...history.state, list: true }, "");

const from = document.referrer && new URL(document.referrer);
if (from && from.origin === location.origin && from.pathname === "/") {
  sessionStorage.setItem(LIST, from.href);
  markList();
} else if (sessionStorage.getItem(REPLACED) === location.pathname) markList();
sessionStorage.removeItem(REPLACED);

const isPlain = (event) => !event.button && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;

for (const link of document.querySelectorAll("a[data-leave]")) {
  link.addEventListener("click", (event) => {
    if (!isPlain(event)) return;
    event.preventDefault();
    if (comesFromList()) history.back();
    else location.assign(sessionStorage.getItem(LIST) || link.href);
  });
}

for (const link of document.querySelectorAll(".versions a")) {
  link.addEventListener("click", (event) => {
    if (!isPlain(event)) return;
    event.preventDefault();
    if (comesFromList()) sessionStorage.setItem(REPLACED, link.pathname);
    location.replace(link.href);
  });
}

// The tab of this version is in view, however many there are.
const current = document.querySelector(".versions [aria-current]");
if (current) current.parentElement.scrollTop = current.offsetTop - current.parentElement.offsetTop;
