// A model's cover, chosen as a file on the page that edits it: sent at once, shown at once.

const place = document.getElementById("covering");
const field = document.getElementById("cover");
const address = document.getElementById("cover_url");
const said = document.getElementById("cover-said");

async function send(method, body) {
  said.textContent = "Waiting…";
  try {
    const headers = { "Modelyard-Token": place.dataset.token };
    const answer = await fetch("/v3/model/cover?id=" + place.dataset.model, { method, body, headers });
    const model = await answer.json();
    if (!answer.ok) throw new Error(model.message);
    address.value = model.cover_url && new URL(model.cover_url, location.href).pathname;
    const picture = place.querySelector("img");
    picture.hidden = !address.value;
    if (address.value) picture.src = address.value;
    said.textContent = address.value ? "This is its cover now." : "It has no cover now.";
  } catch (problem) {
    said.textContent = problem.message;
  }
}

place.hidden = false;
field.addEventListener("change", () => {
  if (field.files.length) send("PUT", field.files[0]);
});
document.getElementById("uncover").addEventListener("click", () => {
  field.value = "";
  send("DELETE");
});
