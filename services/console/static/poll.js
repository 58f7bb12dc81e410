// Parts of a page that the server draws again: <div data-poll=URL data-every=MILLISECONDS>.
// A part in which somebody has the focus or an open dialog is left alone until they leave it.
export function startPolling() {
  for (const part of document.querySelectorAll("[data-poll]")) schedule(part);
}

function schedule(part) {
  const every = Number(part.dataset.every);
  const loop = async () => {
    if (!document.hidden && !part.contains(document.activeElement)) await refresh(part);
    setTimeout(loop, every);
  };
  setTimeout(loop, part.dataset.now === undefined ? every : 0);
}

async function refresh(part) {
  // What the part holds may say which version it is; 204 is the answer that there is no newer one.
  const seen = part.querySelector("[data-seen]")?.dataset.seen;
  const url = seen ? `${part.dataset.poll}?seen=${encodeURIComponent(seen)}` : part.dataset.poll;
  try {
    const response = await fetch(url, { headers: { accept: "text/html" } });
    if (response.status !== 204 && response.ok && !response.redirected) replace(part, await response.text());
  } catch {
    // The next round will tell.
  }
}

function replace(part, html) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  const open = [...part.querySelectorAll("details")].map((one) => one.open);
  const scrolled = [...part.querySelectorAll("pre")].map((one) => one.scrollTop);
  const atEnd = [...part.querySelectorAll("pre")].map((one) => one.scrollTop + one.clientHeight >= one.scrollHeight - 4);
  part.replaceChildren(...parsed.body.childNodes);
  part.querySelectorAll("details").forEach((one, index) => {
    if (index < open.length) one.open = open[index];
  });
  // Whoever reads the end of a log goes on reading its end.
  part.querySelectorAll("pre").forEach((one, index) => {
    if (index < scrolled.length) one.scrollTop = atEnd[index] ? one.scrollHeight : scrolled[index];
  });
  part.removeAttribute("aria-busy");
}
