// Parts of a page that the server draws again: <div data-poll=URL data-every=MILLISECONDS>.
// A part in which somebody has the focus or an open dialog is left alone until they leave it.
export function startPolling() {
  for (const part of document.querySelectorAll("[data-poll]")) schedule(part);
}

function schedule(part) {
  const every = Number(part.dataset.every);
  const loop = async () => {
    if (!document.hidden && !part.contains(document.activeElement)) await refresh(part);
    if (every && part.dataset.poll) setTimeout(loop, every);
  };
  setTimeout(loop, part.dataset.now === undefined ? every : 0);
}

async function refresh(part) {
  try {
    const response = await fetch(part.dataset.poll, { headers: { accept: "text/html" } });
    if (response.status === 204) part.dataset.poll = "";
    else if (response.ok && !response.redirected) replace(part, await response.text());
  } catch {
    // The next round will tell.
  }
}

function replace(part, html) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  const open = [...part.querySelectorAll("details")].map((one) => one.open);
  part.replaceChildren(...parsed.body.childNodes);
  part.querySelectorAll("details").forEach((one, index) => {
    if (index < open.length) one.open = open[index];
  });
  part.removeAttribute("aria-busy");
}
