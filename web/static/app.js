/* Parvis in the page: everything works without this; with it, pages hear of what is new. */
"use strict";

const announce = document.getElementById("announce");
const htmxHeaders = { "HX-Request": "true", "Accept": "text/html" };

const say = (name) => { if (announce) announce.textContent = announce.dataset[name] || ""; };

const piece = async (address) => {
  const answer = await fetch(address, { headers: htmxHeaders, credentials: "same-origin" });
  if (answer.status === 404) return null;
  if (!answer.ok) throw new Error(String(answer.status));
  const holder = document.createElement("template");
  holder.innerHTML = (await answer.text()).trim();
  return holder.content.firstElementChild;
};

/* A card that changed takes the place of the old one; whoever stood on a control of it stands on the same again. */
const replaceCard = (old, fresh) => {
  const inside = old.contains(document.activeElement) ? [...old.querySelectorAll("a, button, summary, input")].indexOf(document.activeElement) : -1;
  if (old.classList.contains("post--new")) fresh.classList.add("post--new");
  for (const chosen of old.querySelectorAll("input[name=choice]:checked")) {
    const same = fresh.querySelector(`input[name=choice][value="${CSS.escape(chosen.value)}"]`);
    if (same) same.checked = true;
  }
  old.replaceWith(fresh);
  if (window.htmx) window.htmx.process(fresh);
  if (inside >= 0) fresh.querySelectorAll("a, button, summary, input")[inside]?.focus();
};

const waiting = [];

const showWaiting = (feed) => {
  feed.querySelector(".fresh")?.remove();
  for (const card of waiting.splice(0)) insert(feed, card);
  feed.querySelector("article")?.scrollIntoView({ block: "nearest" });
};

const insert = (feed, card) => {
  feed.querySelector("[data-empty]")?.remove();
  feed.querySelector(".empty")?.remove();
  if (feed.dataset.feed.startsWith("thread:")) feed.append(card);
  else feed.prepend(card);
  if (window.htmx) window.htmx.process(card);
};

const offer = (feed, card) => {
  card.classList.add("post--new");
  if (window.scrollY < 300 || feed.dataset.feed.startsWith("thread:")) { insert(feed, card); return; }
  waiting.push(card);
  let button = feed.querySelector(".fresh");
  if (!button) {
    button = document.createElement("button");
    button.className = "button button--main fresh";
    button.addEventListener("click", () => showWaiting(feed));
    feed.prepend(button);
  }
  button.textContent = waiting.length === 1 ? feed.dataset.freshOne : feed.dataset.freshMany.replace("{n}", waiting.length);
};

const belongs = (feed, post) => {
  const [kind, id] = feed.dataset.feed.split(":");
  return kind === "home" || (kind === "space" && id === post.space) || (kind === "thread" && (id === post.root || id === post.answers));
};

const onPost = async (post) => {
  const old = document.querySelector(`[data-post="${post.id}"]`);
  const feed = document.querySelector("[data-feed]");
  if (!old && !(feed && belongs(feed, post))) return;
  const inThread = (old && old.classList.contains("post--reply")) || (!old && feed.dataset.feed.startsWith("thread:"));
  const card = await piece(`/posts/${post.id}?part=card${inThread ? "&in=thread" : ""}`);
  const now = document.querySelector(`[data-post="${post.id}"]`);
  if (!card) { if (now) { now.remove(); say("gone"); } return; }
  if (now) { replaceCard(now, card); say("changed"); }
  else if (!document.body.dataset.before) { offer(feed, card); say("new"); }
};

const onNotice = ({ unread }) => {
  for (const count of document.querySelectorAll("[data-unread]")) { count.textContent = unread; count.hidden = !unread; }
  document.title = document.title.replace(/^\(\d+\) /, unread ? `(${unread}) ` : "");
};

if (document.body.hasAttribute("data-live") && "EventSource" in window) {
  if (new URLSearchParams(location.search).has("before")) document.body.dataset.before = "1";
  const source = new EventSource("/live");
  let chain = Promise.resolve();
  source.addEventListener("post", (event) => { chain = chain.then(() => onPost(JSON.parse(event.data))).catch(() => {}); });
  source.addEventListener("notice", (event) => onNotice(JSON.parse(event.data)));
  source.addEventListener("open", () => document.body.setAttribute("data-live", "on"));
  window.addEventListener("pagehide", () => source.close());
}

/* The line of who will see follows the chosen place. */
for (const select of document.querySelectorAll("[data-composer] select[name=where]")) {
  select.addEventListener("change", async () => {
    const line = await piece(`/posts/new?part=audience&where=${encodeURIComponent(select.value)}`);
    if (line) select.form.querySelector("[data-audience]").replaceWith(line);
  });
}

/* A field beside each chosen file, gone with it; without this there is a line for each. */
const describing = (form) => {
  const [files, list, model, lines] = ["input[type=file]", "[data-described]", "template[data-file]", "[data-lines]"].map((one) => form.querySelector(one));
  const chosen = new Map();
  const settle = () => {
    const kept = new DataTransfer();
    for (const file of chosen.values()) kept.items.add(file);
    files.files = kept.files;
    const rows = list.querySelectorAll(".described__one");
    rows.forEach((row, index) => {
      const field = row.querySelector("textarea");
      field.id = field.name = row.querySelector("label").htmlFor = `description-${index + 1}`;
    });
    list.hidden = !rows.length;
  };
  const add = () => {
    const before = chosen.size;
    for (const file of files.files) {
      if ([...chosen.values()].some((one) => one.name === file.name && one.size === file.size && one.lastModified === file.lastModified)) continue;
      const row = model.content.cloneNode(true).firstElementChild;
      for (const name of row.querySelectorAll("bdi")) name.textContent = file.name;
      list.append(row);
      chosen.set(row, file);
    }
    settle();
    if (chosen.size > before) say("attached");
  };
  if (!lines.querySelector("textarea").value) lines.remove();
  for (const button of list.querySelectorAll("[data-drop]")) button.hidden = false;
  files.addEventListener("change", add);
  list.addEventListener("click", (event) => {
    const row = event.target.closest("[data-drop]")?.closest(".described__one");
    if (!row) return;
    const near = [row.nextElementSibling, row.previousElementSibling].find((one) => one?.matches(".described__one"));
    chosen.delete(row);
    row.remove();
    settle();
    (near?.querySelector("[data-drop]") || files).focus();
  });
  if (files.files.length) add();
};

for (const form of document.querySelectorAll("[data-composer]")) {
  if (form.querySelector("[data-described]")) describing(form);
  form.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit(); });
}

/* An address to copy: without this it is selected and copied by hand. */
for (const button of document.querySelectorAll("[data-copy]")) {
  const field = document.getElementById(button.dataset.copy);
  const told = button.closest(".field").querySelector("[data-copied]");
  field.addEventListener("focus", () => field.select());
  button.hidden = false;
  button.addEventListener("click", async () => {
    const done = await navigator.clipboard?.writeText(field.value).then(() => true, () => false);
    if (!done) { field.select(); if (!document.execCommand("copy")) return; }
    told.textContent = told.dataset.copied;
  });
}

/* What has to be confirmed opens over the page; without this it is a page of its own. */
document.addEventListener("click", async (event) => {
  const opener = event.target.closest("a[data-dialog]");
  if (opener && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    const form = await piece(`${opener.getAttribute("href")}?part=dialog`).catch(() => null);
    if (!form) { location.assign(opener.href); return; }
    const dialog = document.createElement("dialog");
    dialog.className = "sheet";
    dialog.setAttribute("aria-labelledby", form.getAttribute("aria-labelledby"));
    dialog.append(form);
    dialog.addEventListener("close", () => { dialog.remove(); opener.focus(); });
    document.body.append(dialog);
    dialog.showModal();
  }
  if (event.target.closest("dialog [data-dismiss]")) { event.preventDefault(); event.target.closest("dialog").close(); }
});

/* One press is one message. */
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) { event.preventDefault(); return; }
  if (form.hasAttribute("hx-post") && !form.hasAttribute("data-openness")) return;
  form.dataset.sent = "1";
  setTimeout(() => delete form.dataset.sent, 8000);
});
window.addEventListener("pageshow", () => { for (const form of document.forms) delete form.dataset.sent; });

const offline = document.querySelector(".offline");
const connection = () => { offline.hidden = navigator.onLine; };
window.addEventListener("online", connection);
window.addEventListener("offline", connection);
connection();
