// Review, one at a time: a key moves on at once, and rulings are saved behind it in their order.
// Each is bound to the card it was pressed for. Sent twice it counts once: the server answers a
// repeated ruling by the first (review/decisions.py), so that after a lost answer it is sent again.
"use strict";
(() => {
  const page = document.getElementById("review");
  if (!page) return;
  const text = page.dataset;
  const cards = document.getElementById("review-cards");
  const strip = document.getElementById("review-queue");
  const toasts = document.getElementById("review-toasts");
  const end = document.getElementById("review-end");
  const loading = document.getElementById("review-loading");
  const place = document.getElementById("review-place");
  const FEW = 3; // with so many cards left more are asked for
  const AHEAD = 5;
  const KEPT = 20; // cards that are saved, kept to undo them
  const RENEW_EVERY_MS = 60000;
  const SETTLED_MS = 3000;
  const PATIENCE_MS = 30000;
  const RETRY_MS = 10000;
  const GRACE_MS = 700;

  const acts = []; // what can be undone here, the newest last
  const unsaved = []; // what the server has not taken yet; the first is on its way
  let isSending = false;
  let asking = null; // for more cards
  let undoable = text.undoable; // a decision of before this page
  let done = 0;
  let waiting = Number(place?.dataset.waiting ?? 0);
  let isMore = place ? "more" in place.dataset : false;
  let retry = 0;

  const fill = (sentence, values) => sentence.replace(/\{(\w+)\}/g, (_all, name) => values[name]);
  const upcoming = () => [...cards.querySelectorAll("[data-card]:not([data-ruled])")];
  const token = () => page.querySelector("[name=csrfmiddlewaretoken]").value;

  // ---- What is shown

  function show(keepFocus) {
    const left = upcoming();
    for (const card of cards.children) if (card.matches("[data-card]")) card.hidden = card !== left[0];
    loading.hidden = left.length > 0 || !asking;
    end.hidden = left.length > 0 || Boolean(asking);
    strip.hidden = !strip.children.length && !left.length;
    drawStrip(left);
    count();
    if (keepFocus) return;
    if (left.length) left[0].querySelector("[data-card-title]").focus({ preventScroll: true });
    else if (!end.hidden) document.getElementById("review-end-title").focus();
    if (left.length <= FEW) askForMore();
  }

  const ICONS = { saved: ["check", ""], saving: ["clock", "saving"], unsaved: ["warn", "nok"], refused: ["x", "nok"] };
  const sprite = document.querySelector("use")?.getAttribute("href").split("#")[0];

  function icon(name) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("class", "icon");
    svg.setAttribute("aria-hidden", "true");
    const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
    use.setAttribute("href", `${sprite}#i-${name}`);
    svg.append(use);
    return svg;
  }

  // A picture's thumbnail is made once, so that the strip does not flicker
  function thumb(card) {
    if (card.thumb) return card.thumb;
    const item = document.createElement("li");
    item.className = "thumb";
    if (card.dataset.thumbnail) {
      const picture = new Image(320, 320);
      picture.src = card.dataset.thumbnail;
      picture.alt = "";
      item.append(picture);
    } else {
      const words = document.createElement("span");
      words.className = "words";
      words.textContent = card.querySelector(".sample-text")?.textContent.slice(0, 24) ?? "";
      words.setAttribute("aria-hidden", "true");
      item.append(words);
    }
    const label = document.createElement("span");
    label.className = "visually-hidden";
    item.append(label);
    card.thumb = item;
    return item;
  }

  function drawStrip(left) {
    const past = [...cards.querySelectorAll("[data-card][data-ruled]")].sort((a, b) => a.dataset.ruled - b.dataset.ruled);
    // Those that are not saved stay in sight as far as a phone has room
    const kept = past.filter((card, index) => index >= past.length - 3 || card.dataset.state !== "saved").slice(-5);
    const items = [];
    for (const card of [...kept, ...left.slice(0, 1 + AHEAD)]) {
      const item = thumb(card);
      const isPast = "ruled" in card.dataset;
      const isHere = card === left[0];
      item.className = `thumb${isPast ? " past" : ""}${isHere ? " here" : ""}`;
      item.toggleAttribute("aria-current", isHere);
      if (isHere) item.setAttribute("aria-current", "true");
      item.querySelector(".state")?.remove();
      const state = card.dataset.state;
      if (state) {
        const mark = document.createElement("span");
        mark.className = `state ${ICONS[state][1]}`;
        mark.append(icon(ICONS[state][0]));
        item.append(mark);
      }
      item.querySelector(".visually-hidden").textContent = state ? text[state] : isHere ? text.here : text.next;
      items.push(item);
    }
    const further = waiting - unsaved.length - Math.min(left.length, 1 + AHEAD);
    if (further > 0) {
      const rest = document.createElement("li");
      rest.className = "small faint ps-2 nowrap";
      rest.textContent = fill(text.further, { count: `${further}${isMore ? "+" : ""}` });
      items.push(rest);
    }
    strip.replaceChildren(...items);
  }

  function count() {
    if (!place) return;
    const saved = done - unsaved.filter((each) => each.card && !each.undoes).length;
    const all = saved + waiting;
    const here = Math.min(done + (upcoming().length ? 1 : 0), all);
    place.textContent = fill(place.dataset.text, { place: here, count: `${all}${isMore ? "+" : ""}` });
    const width = (part) => (all ? (100 * part) / all : 0);
    document.getElementById("review-done").setAttribute("width", width(saved));
    document.getElementById("review-saving").setAttribute("x", width(saved));
    document.getElementById("review-saving").setAttribute("width", width(done - saved));
  }

  function mark(card, state) {
    if (state) card.dataset.state = state;
    else delete card.dataset.state;
  }

  let fading = 0;
  function say(sentence, { act, button, isQuiet } = {}) {
    clearTimeout(fading);
    const note = document.createElement("div");
    note.className = `toast-note${isQuiet ? " quiet" : ""}`;
    const words = document.createElement("span");
    words.className = "grow";
    words.textContent = sentence;
    note.append(icon(isQuiet ? "check" : "warn"), words);
    if (act) {
      const press = document.createElement("button");
      press.type = "button";
      press.className = "btn btn-sm";
      press.textContent = button;
      press.addEventListener("click", act);
      note.append(press);
    }
    toasts.replaceChildren(note);
    const fade = () => { if (note.matches(":hover, :focus-within")) fading = setTimeout(fade, 2000); else note.remove(); };
    if (isQuiet || !act) fading = setTimeout(fade, 8000);
  }
  document.addEventListener("review:say", (event) => say(event.detail));

  // ---- What is ruled

  function rule(card, form, submitter) {
    const body = new FormData(form);
    if (submitter?.name && submitter.form === form) body.set(submitter.name, submitter.value);
    const note = card.querySelector("textarea[name=reason]")?.value;
    if (note && !body.has("reason")) body.set("reason", note);
    const act = { card, url: form.action, body, kind: body.get("ruling"), isOpinion: body.has("opinion") };
    card.dataset.ruled = performance.now();
    card.querySelector("[data-refusal]").hidden = true;
    mark(card, "saving");
    done += 1;
    acts.push(act);
    unsaved.push(act);
    show();
    drain();
  }

  // Back to the front, to be looked at again. A refusal comes unasked: who presses a key just then
  // means the card that was there, and who is typing is not interrupted.
  let former = null;
  let changedAt = 0;
  function bringBack(card, sentence) {
    const here = upcoming()[0];
    const isTyping = here?.contains(document.activeElement) && document.activeElement.matches("input, textarea");
    if (sentence) [former, changedAt] = [here, performance.now()];
    delete card.dataset.ruled;
    mark(card, sentence ? "refused" : "");
    const refusal = card.querySelector("[data-refusal]");
    refusal.hidden = !sentence;
    refusal.lastElementChild.textContent = sentence ?? "";
    if (sentence && isTyping) here.after(card);
    else cards.prepend(card);
    done = Math.max(0, done - 1);
    show(sentence && isTyping);
  }
  window.addEventListener("keydown", () => {
    if (former && performance.now() - changedAt < GRACE_MS && !("ruled" in former.dataset)) {
      cards.prepend(former);
      show();
    }
    former = null;
  }, true);

  function undo() {
    const act = acts.pop();
    if (!act) return undoBefore();
    if (act.isOpinion && act.isTried) {
      acts.push(act);
      return say(text.noUndo);
    }
    const at = unsaved.indexOf(act);
    if (at >= 0 && !act.isTried) unsaved.splice(at, 1); // the server never hears of it
    else unsaved.push({ undoes: act, card: act.card });
    act.isUndone = true;
    bringBack(act.card);
    drain();
  }

  function undoBefore() {
    if (!undoable) return say(text.nothing);
    unsaved.push({ undoes: { decision: undoable }, fetches: true });
    undoable = "";
    drain();
  }

  // ---- What is sent

  async function post(url, body) {
    body.set("csrfmiddlewaretoken", token());
    let answer;
    try {
      answer = await fetch(url, { method: "POST", body, redirect: "manual", headers: { Accept: "application/json" }, signal: AbortSignal.timeout(PATIENCE_MS) });
    } catch { return { isAway: true, sentence: text.offline }; }
    if (answer.type === "opaqueredirect") return { isAway: true, sentence: text.loggedOut };
    if (answer.status >= 500 || answer.status === 429) return { isAway: true, sentence: text.offline };
    const isJson = answer.headers.get("Content-Type")?.startsWith("application/json");
    const said = isJson ? await answer.json().catch(() => null) : null;
    if (answer.ok && said) return said;
    return { isRefused: true, sentence: said?.sentence ?? text.wrong };
  }

  function send(act) {
    if (!act.undoes) return post(act.url, act.body);
    const body = new FormData();
    const was = act.undoes;
    if (was.kind === "skip") {
      body.set("sample", was.card.dataset.card);
      return post(text.unskip, body);
    }
    if (!was.decision) return {}; // it was refused, so there is nothing to undo
    body.set("undo", was.decision);
    body.set("filters", text.filters);
    return post(text.undo, body);
  }

  async function drain() {
    if (isSending) return;
    isSending = true;
    clearTimeout(retry);
    while (unsaved.length) {
      const act = unsaved[0];
      if (act.card && "ruled" in act.card.dataset) mark(act.card, "saving");
      act.isTried = true;
      const answer = await send(act);
      if (answer.isAway) {
        for (const each of unsaved) if (each.card && "ruled" in each.card.dataset) mark(each.card, "unsaved");
        say(answer.sentence, { act: drain, button: fill(text.again, { count: unsaved.length }) });
        retry = setTimeout(drain, RETRY_MS);
        break;
      }
      unsaved.shift();
      settle(act, answer);
    }
    isSending = false;
    document.body.dispatchEvent(new CustomEvent("review:saved")); // for the number in the side bar
    prune();
    show(true);
  }

  function settle(act, answer) {
    if (act.undoes) {
      if (answer.isRefused) say(answer.sentence);
      else if (act.undoes.decision || act.undoes.kind === "skip") waiting += 1;
      if (act.fetches && !answer.isRefused) {
        undoable = answer.undoable ?? "";
        take(answer.cards, true);
        show();
      } else if (!answer.isRefused && answer.sentence) say(answer.sentence, { isQuiet: true });
      return;
    }
    if (answer.isRefused) {
      acts.splice(acts.indexOf(act), acts.includes(act) ? 1 : 0);
      // If it is on the screen again already, it was taken back meanwhile
      if ("ruled" in act.card.dataset) bringBack(act.card, answer.sentence);
      say(answer.sentence);
      return;
    }
    act.decision = answer.decision;
    waiting = Math.max(0, waiting - 1);
    if (!unsaved.some((each) => each.card === act.card) && "ruled" in act.card.dataset) mark(act.card, "saved");
    if (act.kind === "skip") end.querySelector("[data-unskip]").hidden = false;
    if (!act.isUndone) say(answer.sentence, { act: undo, button: text.undoLabel, isQuiet: true });
  }

  function prune() {
    const saved = [...cards.querySelectorAll("[data-card][data-state=saved]")].sort((a, b) => a.dataset.ruled - b.dataset.ruled);
    for (const card of saved.slice(0, -KEPT)) {
      card.remove();
      for (let at = acts.length - 1; at >= 0; at -= 1) if (acts[at].card === card) acts.splice(at, 1);
    }
  }

  // ---- What comes next

  function mine() {
    const body = new FormData();
    const here = new Set([...upcoming(), ...unsaved.map((act) => act.card).filter(Boolean)]);
    for (const card of here) body.append("sample", card.dataset.card);
    body.set("csrfmiddlewaretoken", token());
    return body;
  }

  // Adds cards; of those that are here already only what was saved is new
  function take(html, atFront) {
    const box = document.createElement("template");
    box.innerHTML = html;
    const told = box.content.getElementById("review-waiting");
    let added = 0;
    for (const card of [...box.content.querySelectorAll("[data-card]")]) {
      const old = cards.querySelector(`[data-card="${card.dataset.card}"]`);
      if (old && old.dataset.state !== "saved") continue;
      old?.remove();
      card.hidden = true;
      if (atFront) cards.prepend(card);
      else cards.append(card);
      added += 1;
    }
    return { added, told };
  }

  async function askForMore() {
    if (asking) return;
    const body = mine();
    body.set("filters", text.filters);
    asking = fetch(text.more, { method: "POST", body, redirect: "manual" }).catch(() => null);
    if (!upcoming().length) show(true);
    const answer = await asking;
    const html = answer?.ok ? await answer.text() : "";
    asking = null;
    const wasEmpty = !upcoming().length;
    const { told } = take(html, false);
    // Counted by the server meanwhile: with what is not saved yet
    if (told && !isSending) {
      waiting = Number(told.value);
      isMore = "more" in told.dataset;
    }
    if (wasEmpty && upcoming().length) show();
    else show(true);
    if (wasEmpty && !end.hidden) document.getElementById("review-end-title").focus();
  }

  async function renew() {
    if (document.hidden || (!upcoming().length && !unsaved.length)) return;
    const answer = await fetch(text.renew, { method: "POST", body: mine() }).catch(() => null);
    const { lost } = answer?.ok ? await answer.json() : { lost: [] };
    for (const key of lost) {
      const card = cards.querySelector(`[data-card="${key}"]:not([data-ruled])`);
      if (card && card === upcoming()[0]) say(text.lost);
      else card?.remove();
    }
    show(true);
  }
  setInterval(renew, RENEW_EVERY_MS);
  setTimeout(renew, SETTLED_MS); // a page that was left may have released them a moment after

  // ---- What is pressed

  document.addEventListener("submit", (event) => {
    if (event.target.id === "undo") {
      event.preventDefault();
      undo();
    }
    const card = event.target.closest("[data-card]");
    if (!card || !event.target.matches("[data-ruling]")) return;
    event.preventDefault();
    if (!("ruled" in card.dataset)) rule(card, event.target, event.submitter);
  });
  document.addEventListener("keydown", (event) => {
    const isKey = event.key.length === 1 || event.key === "Enter";
    if (isKey && !loading.hidden && event.target === document.body && !event.ctrlKey && !event.metaKey) say(text.tooEarly);
  });
  window.addEventListener("online", drain);
  window.addEventListener("beforeunload", (event) => { if (unsaved.length) event.preventDefault(); });
  window.addEventListener("pagehide", () => { if (mine().has("sample")) navigator.sendBeacon(text.leave, mine()); });
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  if (upcoming().length) show();
})();
