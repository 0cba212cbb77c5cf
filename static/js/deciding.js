// Deciding by keyboard: a key presses the button that shows it. What a button does, its page knows.
"use strict";
(() => {
  const help = () => document.getElementById("review-help");
  const keysAreOn = () => { try { return localStorage.getItem("review-keys") !== "off"; } catch { return true; } };
  const isShown = (element) => !element.closest("[hidden]") && !element.disabled;

  function press(key) {
    for (const element of document.querySelectorAll("[data-key], [data-focus-key], [data-open-key]")) {
      if (!isShown(element)) continue;
      if (element.dataset.openKey === key) {
        element.open = true;
        element.querySelector("input, textarea").focus();
      } else if (element.dataset.focusKey === key) element.focus();
      else if (element.dataset.key === key) element.click();
      else continue;
      return true;
    }
    return false;
  }

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input:not([type=checkbox]), textarea, select");
    if (event.key === "Escape" && typing?.closest("[data-open-key]")) typing.closest("[data-open-key]").open = false;
    if (event.key === "Escape" && typing) {
      (typing.closest("[data-card]") ?? document).querySelector("[data-card-title]")?.focus();
      return;
    }
    if (typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.defaultPrevented) return;
    if (help()?.open || (!keysAreOn() && event.key !== "?")) return;
    // Enter and the space bar press what has the focus
    if (event.key === "Enter" && event.target.closest("a, button, summary, [role=button]")) return;
    // On a page whose parts are swapped in place, a key pressed twice must not rule on what comes
    if (document.querySelector("form.htmx-request")) return;
    if (press(event.key.toLowerCase())) event.preventDefault();
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-help-open]")) help().showModal();
    if (event.target.closest("[data-help-close]")) help().close();
    const zoom = event.target.closest("[data-zoom]");
    if (zoom) {
      event.preventDefault();
      zoom.closest("[data-stage]").classList.toggle("zoomed");
    }
    const heat = event.target.closest("[data-heat]");
    if (heat) {
      event.preventDefault();
      toggleHeat(heat);
    }
    const again = event.target.closest("[data-picture-again]");
    if (again) {
      const picture = again.closest("[data-stage]").querySelector("[data-picture]");
      picture.src = picture.src;
    }
  });

  function toggleHeat(button) {
    const picture = button.closest("[data-stage]").querySelector("[data-picture]");
    picture.dataset.plain ??= picture.getAttribute("src");
    const isHot = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", isHot);
    picture.src = isHot ? button.href : picture.dataset.plain;
  }

  // Neither event bubbles: they are caught on their way down
  document.addEventListener("error", (event) => {
    const picture = event.target.closest?.("[data-picture]");
    if (!picture) return;
    const stage = picture.closest("[data-stage]");
    const heat = stage.querySelector("[data-heat][aria-pressed=true]");
    if (heat) {
      heat.setAttribute("aria-pressed", "false");
      heat.title = heat.dataset.noHeat;
      picture.src = picture.dataset.plain;
      document.dispatchEvent(new CustomEvent("review:say", { detail: heat.dataset.noHeat }));
    } else showLost(stage, true);
  }, true);
  document.addEventListener("load", (event) => {
    const picture = event.target.closest?.("[data-picture]");
    if (picture) showLost(picture.closest("[data-stage]"), false);
  }, true);

  function showLost(stage, isLost) {
    stage.querySelector("[data-picture]").classList.toggle("d-none", isLost);
    stage.querySelector("[data-picture-lost]").classList.toggle("d-none", !isLost);
  }

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-use-keys]")) {
      try { localStorage.setItem("review-keys", event.target.checked ? "on" : "off"); } catch { /* for this page only */ }
      document.body.classList.toggle("keys-off", !event.target.checked);
    }
    const form = event.target.closest("[data-apply-at-once]");
    if (form && event.target.matches("select")) form.requestSubmit();
  });

  // Pages whose parts are swapped in place
  const announcement = () => document.getElementById("review-announcement");
  document.addEventListener("htmx:afterSwap", (event) => {
    if (announcement() && (event.detail.target.id === "review-card" || event.detail.elt.id === "review-card")) document.querySelector("[data-card-title]").focus();
  });
  document.addEventListener("htmx:sendError", (event) => {
    if (!announcement() || event.detail.elt?.closest(".side")) return;
    const box = document.createElement("div");
    box.className = "alert alert-warning py-2";
    box.textContent = document.getElementById("review-card")?.dataset.offline ?? "";
    announcement().replaceChildren(box);
  });

  // The page of one sample: its lease is kept while the page is shown
  const alone = document.getElementById("review-alone");
  if (alone?.dataset.renew) {
    let isLeft = false;
    const mine = () => {
      const body = new FormData();
      body.set("sample", alone.querySelector("[data-card]").dataset.card);
      body.set("csrfmiddlewaretoken", document.querySelector("[name=csrfmiddlewaretoken]").value);
      return body;
    };
    const renew = () => { if (!document.hidden) fetch(alone.dataset.renew, { method: "POST", body: mine() }).catch(() => null); };
    setInterval(renew, 60000);
    document.addEventListener("submit", () => { isLeft = true; }); // what is sent needs the lease
    window.addEventListener("pagehide", () => { if (!isLeft) navigator.sendBeacon(alone.dataset.leave, mine()); });
    window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  }

  // What failed before this script ran
  for (const picture of document.querySelectorAll("[data-picture]")) {
    if (picture.complete && picture.naturalWidth === 0) showLost(picture.closest("[data-stage]"), true);
  }
  const toggle = document.querySelector("[data-use-keys]");
  if (toggle) toggle.checked = keysAreOn();
  document.body.classList.toggle("keys-off", !keysAreOn());
})();
