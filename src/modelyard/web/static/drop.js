// A file that is dropped anywhere on the page is sent to /resolve, which says what models it needs. The page there has a
// form that works without this script.

const form = document.getElementById("dropping");
const text = form.querySelector("p");
const field = form.querySelector("input");
const invitation = text.textContent;
let isOwn = false; // a picture of this page is dragged, not a file

function show(words) {
  text.textContent = words;
  form.hidden = !words;
}

function announce(words) {
  show(words);
  document.getElementById("announcement").textContent = words;
}

const hasFile = (event) => !isOwn && event.dataTransfer !== null && event.dataTransfer.types.includes("Files");

addEventListener("dragstart", () => { isOwn = true; });
addEventListener("dragend", () => { isOwn = false; });
addEventListener("dragover", (event) => {
  if (!hasFile(event)) return;
  event.preventDefault(); // otherwise the browser opens the file
  show(invitation);
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) show("");
});
addEventListener("drop", (event) => {
  if (!hasFile(event)) return;
  event.preventDefault();
  const file = event.dataTransfer.files[0];
  if (!file) return show("");
  if (file.size > Number(form.dataset.max)) return announce(`${file.name} is larger than ${form.dataset.max >> 20} MiB`);
  const files = new DataTransfer();
  files.items.add(file);
  field.files = files.files;
  announce(`Sending ${file.name}`);
  form.submit();
});
// A message about a file closes by a click or a key, and on the way back to this page.
for (const name of ["pointerdown", "keydown", "pageshow"]) addEventListener(name, () => show(""));
