// The review page: keys, the next picture ahead of time, the lease kept while the page is shown.
"use strict";
(() => {
  const RENEW_EVERY_MS = 60000;
  let busy = false; // a ruling is on its way: a key pressed twice must not rule on the next picture

  const card = () => document.getElementById("review-card");
  const help = () => document.getElementById("review-help");
  const keysAreOn = () => { try { return localStorage.getItem("review-keys") !== "off"; } catch { return true; } };

  function say(sentence) {
    const box = document.createElement("div");
    box.className = "alert alert-warning py-2";
    box.textContent = sentence;
    document.getElementById("review-announcement").replaceChildren(box);
  }

  function post(url, beacon) {
    const form = new FormData();
    form.append("csrfmiddlewaretoken", document.querySelector("[name=csrfmiddlewaretoken]").value);
    return beacon ? navigator.sendBeacon(url, form) : fetch(url, { method: "POST", body: form });
  }

  function showLostPicture() {
    const picture = card()?.querySelector("[data-picture]");
    const notice = card()?.querySelector("[data-picture-lost]");
    if (!picture || !notice) return;
    const lost = () => { picture.classList.add("d-none"); notice.classList.remove("d-none"); };
    picture.addEventListener("error", lost);
    picture.addEventListener("load", () => { picture.classList.remove("d-none"); notice.classList.add("d-none"); });
    if (picture.complete && picture.naturalWidth === 0) lost();
    notice.querySelector("[data-picture-again]").addEventListener("click", () => { picture.src = picture.src; });
  }

  function greet() {
    showLostPicture();
    const next = card()?.dataset.nextPicture;
    if (next) new Image().src = next;
  }

  function press(key) {
    const scope = document.querySelectorAll("[data-key], [data-also-key], [data-focus-key]");
    for (const element of scope) {
      if (element.dataset.focusKey === key) { element.focus(); return true; }
      if (element.disabled || (element.dataset.key !== key && element.dataset.alsoKey !== key)) continue;
      element.click();
      return true;
    }
    return false;
  }

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input:not([type=checkbox]), textarea, select");
    if (event.key === "Escape" && typing && card()?.contains(typing)) {
      document.querySelector("[data-card-title]").focus();
      return;
    }
    if (typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat || busy) return;
    if (help()?.open || (!keysAreOn() && event.key !== "?")) return;
    if (press(event.key.toLowerCase())) event.preventDefault();
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-help-open]")) help().showModal();
    if (event.target.closest("[data-help-close]")) help().close();
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-use-keys]")) {
      try { localStorage.setItem("review-keys", event.target.checked ? "on" : "off"); } catch { /* for this page only */ }
      document.body.classList.toggle("keys-off", !event.target.checked);
    }
    const form = event.target.closest("[data-apply-at-once]");
    if (form && event.target.matches("select")) form.requestSubmit();
  });

  // The side bar asks for its number beside, which must neither hold a key up nor let one through
  const isBeside = (event) => event.detail.elt?.closest(".side");

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (isBeside(event)) return;
    if (busy) event.preventDefault();
    busy = true;
  });
  for (const end of ["htmx:afterSettle", "htmx:sendError", "htmx:timeout"]) {
    document.addEventListener(end, (event) => { if (!isBeside(event)) busy = false; });
  }
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id !== "review-card" && event.detail.elt.id !== "review-card") return;
    greet();
    document.querySelector("[data-card-title]").focus();
  });
  document.addEventListener("htmx:sendError", (event) => { if (!isBeside(event)) say(card().dataset.offline || ""); });

  setInterval(async () => {
    const url = card()?.dataset.renew;
    if (!url || document.hidden) return;
    const answer = await post(url).catch(() => null);
    if (answer?.status === 409 && card().dataset.renew === url) say(card().dataset.lost);
  }, RENEW_EVERY_MS);

  window.addEventListener("pagehide", () => { if (card()?.dataset.leave) post(card().dataset.leave, true); });
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  const toggle = document.querySelector("[data-use-keys]");
  if (toggle) toggle.checked = keysAreOn();
  document.body.classList.toggle("keys-off", !keysAreOn());
  greet();
})();
