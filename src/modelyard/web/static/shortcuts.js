// The key `?` lists the keys that act on the pages.

const KEYS = [
  ["/", "Search models"],
  ["← → ↑ ↓", "Move between models"],
  ["Enter", "Open the model"],
  ["x", "Choose the model; with Shift all between"],
  ["Esc", "Clear the search, or go back from a model"],
  ["?", "Show or close this list"],
];
const TEXT_FIELDS = "input:not([type=checkbox], [type=radio]), textarea, select";

function buildList() {
  const list = document.createElement("dialog");
  list.id = "shortcuts";
  list.setAttribute("aria-labelledby", "shortcuts-title");
  list.innerHTML = `<form method="dialog"><h2 id="shortcuts-title">Keys</h2><dl>${KEYS.map(([keys, action]) =>
    `<div><dt>${keys.split(" ").map((key) => `<kbd>${key}</kbd>`).join(" ")}</dt><dd>${action}</dd></div>`
  ).join("")}</dl><button class="quiet">Close</button></form>`;
  // While the list is open, no key acts on the page below it.
  list.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "?") list.close();
  });
  list.addEventListener("close", () => list.remove());
  return list;
}

document.addEventListener("keydown", (event) => {
  const focused = document.activeElement;
  if (event.key !== "?" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (focused && (focused.matches(TEXT_FIELDS) || focused.isContentEditable)) return;
  event.preventDefault();
  document.body.append(buildList());
  document.getElementById("shortcuts").showModal();
});
