// The cover field of the edit page: uploads the selected picture and shows it at once.

const section = document.getElementById("covering");
const field = document.getElementById("cover");
const address = document.getElementById("cover_url");
const status = document.getElementById("cover-status");

async function send(method, body) {
  status.textContent = body ? "Uploading…" : "Removing…";
  try {
    const headers = { "Modelyard-Token": section.dataset.token };
    const response = await fetch("/v3/model/cover?id=" + section.dataset.model, { method, body, headers });
    const model = await response.json();
    if (!response.ok) throw new Error(model.message);
    address.value = model.cover_url && new URL(model.cover_url, location.href).pathname;
    const picture = section.querySelector("img");
    picture.hidden = !address.value;
    if (address.value) picture.src = address.value;
    status.textContent = address.value ? "Cover saved" : "Cover removed";
  } catch (problem) {
    status.textContent = problem.message;
  }
}

section.hidden = false;
field.addEventListener("change", () => {
  if (field.files.length) send("PUT", field.files[0]);
});
document.getElementById("uncover").addEventListener("click", () => {
  field.value = "";
  send("DELETE");
});
