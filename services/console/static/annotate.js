// Time on the item (only while it is looked at), and long answers that scroll together.
const clock = document.querySelector("[data-clock]");
const field = document.querySelector("[data-seconds]");
const lease = Number(clock.dataset.lease);
const began = Date.now();
let seconds = 0;

setInterval(() => {
  if (document.hidden) return;
  seconds += 1;
  field.value = seconds;
  const shown = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  clock.textContent = lease && Date.now() - began > lease * 1000 ? clock.dataset.expired : shown;
}, 1000);

// By share of the way, so that both reach their end at once whatever their length.
const sides = [...document.querySelectorAll("[data-together]")];
let leader = null;
for (const side of sides) {
  for (const event of ["pointerenter", "focus", "wheel", "touchstart"]) {
    side.addEventListener(event, () => (leader = side), { passive: true });
  }
  side.addEventListener("scroll", () => {
    if (leader && leader !== side) return;
    const way = side.scrollHeight - side.clientHeight;
    if (way <= 0) return;
    const share = side.scrollTop / way;
    for (const other of sides) {
      if (other !== side) other.scrollTop = share * (other.scrollHeight - other.clientHeight);
    }
  });
}

const reasoning = document.getElementById("reasoning");
reasoning.closest("details").addEventListener("toggle", (event) => {
  if (event.newState === "open") reasoning.focus();
});
reasoning.form.addEventListener("draft", () => (reasoning.closest("details").open = true));
