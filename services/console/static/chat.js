// One or two conversations under one text field. Streams are JSON lines; stopping closes them.
// What was said stays in this browser until one starts again, so that a reload or a closed tab loses nothing.
import { notice, csrf } from "./notice.js";

const form = document.getElementById("chat");
const KEPT = `lima.chat:${document.body.dataset.person}`;

function start() {
  const say = form.querySelector("#say");
  const sides = [...form.querySelectorAll("[data-side]")].map((element) => new Side(element));
  const [stop, judge, sendButton] = ["stop", "judge", "send"].map((name) => form.querySelector(`[data-${name}]`));
  let stopper = null;

  const keep = () => {
    const kept = { text: say.value, sides: sides.map((side) => ({ model: side.model, messages: side.messages })) };
    localStorage.setItem(KEPT, JSON.stringify(kept));
  };
  const settle = () => {
    // While an answer comes, what was kept last still holds the question.
    if (!stopper) keep();
    stop.disabled = !stopper;
    sendButton.disabled = Boolean(stopper);
    judge.disabled = Boolean(stopper) || !sides.every((side) => side.answered);
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = say.value.trim();
    if (!text || stopper) return;
    say.value = "";
    stopper = new AbortController();
    settle();
    const asked = sides.filter((side) => side.model);
    const answers = await Promise.all(asked.map((side) => side.ask(text, sampling(), stopper.signal)));
    stopper = null;
    // What nobody has answered is there to be sent again.
    if (!answers.some(Boolean) && !say.value) say.value = text;
    settle();
    say.focus();
  });
  say.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") stopper?.abort();
  });
  stop.addEventListener("click", () => stopper?.abort());
  form.querySelector("[data-clear]").addEventListener("click", () => {
    stopper?.abort();
    for (const side of sides) side.clear();
    settle();
    say.focus();
  });
  say.addEventListener("input", keep);
  for (const side of sides) side.choice.addEventListener("change", settle);
  judge.addEventListener("click", () =>
    leave("/chat/judge", { sides: sides.map((side) => ({ model: side.model, messages: side.messages })) }),
  );
  restore(say, sides);
  settle();
  say.focus();
}

function restore(say, sides) {
  const kept = JSON.parse(localStorage.getItem(KEPT) ?? "null");
  if (!kept) return;
  say.value = kept.text;
  // A model that the address names, or one that is gone, begins anew.
  const named = new URLSearchParams(location.search);
  sides.forEach((side, place) => {
    const { model, messages } = kept.sides[place];
    if (named.has("ab"[place]) && named.get("ab"[place]) !== model) return;
    if ([...side.choice.options].some((option) => option.value === model)) side.resume(model, messages);
  });
}

function sampling() {
  const fields = [...form.querySelectorAll(".settings input")].filter((field) => field.value !== "");
  return Object.fromEntries(fields.map((field) => [field.name, Number(field.value)]));
}

async function post(url, value, signal) {
  return fetch(url, {
    method: "POST",
    headers: { "x-csrf-token": csrf(), "content-type": "application/json", accept: "application/json" },
    body: JSON.stringify(value),
    signal,
  });
}

async function leave(url, value) {
  const response = await post(url, value).catch(() => null);
  const answer = await response?.json();
  if (response?.ok) location.assign(answer.next);
  else notice(answer?.error ?? document.body.dataset.offline);
}

class Side {
  constructor(element) {
    this.log = element.querySelector("[data-log]");
    this.choice = element.querySelector("[data-choose]");
    this.example = element.querySelector("[data-example]");
    this.messages = [];
    this.example.addEventListener("click", () => leave("/chat/example", { messages: this.messages }));
    this.choice.addEventListener("change", () => this.clear());
  }

  get model() {
    return this.choice.value;
  }

  get answered() {
    return this.messages.at(-1)?.role === "assistant";
  }

  resume(model, messages) {
    this.choice.value = model;
    this.messages = messages;
    for (const { role, content } of messages) {
      this.bubble(role, role === "user" ? form.dataset.you : form.dataset.model).textContent = content;
    }
    this.example.disabled = !this.answered;
  }

  clear() {
    this.messages = [];
    this.log.replaceChildren();
    this.example.disabled = true;
  }

  async ask(text, settings, signal) {
    this.messages.push({ role: "user", content: text });
    this.bubble("user", form.dataset.you).textContent = text;
    const place = this.bubble("assistant", form.dataset.model);
    this.log.setAttribute("aria-busy", "true");
    const outcome = await this.stream(place, settings, signal);
    this.log.removeAttribute("aria-busy");
    if (place.textContent) this.messages.push({ role: "assistant", content: place.textContent });
    else this.messages.pop();
    this.example.disabled = !this.answered;
    const remark = document.createElement("p");
    remark.className = outcome.error ? "problem" : "hint";
    remark.textContent = outcome.error || outcome.text;
    this.log.append(remark);
    this.follow();
    return Boolean(place.textContent);
  }

  async stream(place, settings, signal) {
    try {
      const response = await post("/chat/stream", { model: this.model, messages: this.messages, sampling: settings }, signal);
      if (!response.ok) return { error: (await response.json()).error };
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      let outcome = { text: form.dataset.stopped };
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return outcome;
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        for (const line of lines) outcome = this.take(JSON.parse(line), place) ?? outcome;
      }
    } catch (error) {
      return error.name === "AbortError" ? { text: form.dataset.stopped } : { error: document.body.dataset.offline };
    }
  }

  take(part, place) {
    if (part.error) return { error: part.error };
    if (part.finish) {
      const text = form.dataset.tokens.replace("#", part.tokens);
      return { text: part.finish === "length" ? `${text} · ${form.dataset.length}` : text };
    }
    place.append(part.text);
    this.follow();
    return null;
  }

  bubble(role, name) {
    const turn = document.createElement("div");
    turn.className = `turn ${role}`;
    const heading = document.createElement("p");
    heading.className = "role";
    heading.textContent = name;
    const text = document.createElement("div");
    text.className = "bubble";
    text.dir = "auto";
    turn.append(heading, text);
    this.log.append(turn);
    this.follow();
    return text;
  }

  follow() {
    this.log.scrollTop = this.log.scrollHeight;
  }
}

if (form) start();
