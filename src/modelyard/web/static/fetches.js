// The list of fetches follows the server while one of them is open. Without this script, a link reloads the page.

const WAIT_MS = 1000;
const list = document.getElementById("fetches");
const isOpen = () => list !== null && list.querySelector("li form") !== null;

/** Take over a row of the server's newer list. One whose state is the same stays, so that the focus stays too. */
function update(row) {
  const old = document.getElementById(row.id);
  if (!old) return list.prepend(row);
  if (old.dataset.state !== row.dataset.state) {
    const hadFocus = old.contains(document.activeElement);
    old.replaceWith(row);
    if (hadFocus) (row.querySelector("button, a") || list).focus();
    return;
  }
  old.querySelector(".state").textContent = row.querySelector(".state").textContent;
  const bar = row.querySelector("progress");
  for (const name of bar.getAttributeNames()) old.querySelector("progress").setAttribute(name, bar.getAttribute(name));
}

async function follow() {
  let isLate = false; // the server did not answer
  while (isOpen()) {
    await new Promise((resolve) => setTimeout(resolve, isLate ? 10 * WAIT_MS : WAIT_MS));
    if (document.hidden) continue;
    try {
      const response = await fetch("/parts/fetches");
      isLate = !response.ok;
      if (response.redirected) return location.reload(); // the session has ended
      if (isLate) continue;
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      for (const row of [...page.querySelectorAll("li")].reverse()) update(row);
    } catch {
      isLate = true;
    }
  }
  document.getElementById("announcement").textContent = "All fetches have ended";
}

if (isOpen()) follow();
