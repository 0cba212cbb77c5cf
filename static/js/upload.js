// The upload form: drop, paste, preview, limits told before anything is sent, progress on a slow network.
"use strict";

(() => {
  const PREVIEWS = 12;

  const start = (form) => {
    const input = form.querySelector("#file");
    const camera = form.querySelector("#camera");
    const zone = form.querySelector("[data-drop]");
    const previews = form.querySelector("[data-previews]");
    const progress = form.querySelector("[data-progress]");
    const button = form.querySelector("#classify");
    const result = document.querySelector("#result");
    let addresses = [];

    form.querySelectorAll("[data-script-only]").forEach((element) => { element.hidden = false; });

    const chosen = () => [...input.files, ...camera.files];

    const paragraph = (text) => Object.assign(document.createElement("p"), { textContent: text });

    const complain = (text) => {
      const alert = paragraph(text);
      alert.className = "alert alert-danger";
      alert.setAttribute("role", "alert");
      result.replaceChildren(alert);
    };

    const problem = (files) => {
      if (files.length > Number(form.dataset.maxFiles)) return form.dataset.textTooMany;
      const large = files.find((file) => file.size > Number(form.dataset.maxBytes));
      // Of several pictures a large one is refused alone, by the server
      return large && files.length === 1 ? form.dataset.textTooLarge.replace("{name}", large.name) : "";
    };

    const preview = (file) => {
      const image = document.createElement("img");
      const address = URL.createObjectURL(file);
      addresses.push(address);
      image.alt = file.name;
      image.src = address;
      image.addEventListener("error", () => image.replaceWith(paragraph(`${file.name}: ${form.dataset.textNoPreview}`)));
      return image;
    };

    const show = () => {
      const files = chosen();
      addresses.forEach((address) => URL.revokeObjectURL(address));
      addresses = [];
      previews.classList.toggle("many", files.length > 1);
      previews.replaceChildren(...files.slice(0, PREVIEWS).map(preview));
      if (files.length > 1) previews.prepend(paragraph(form.dataset.textChosen.replace("{count}", files.length)));
      result.replaceChildren();
      const text = problem(files);
      button.disabled = Boolean(text);
      if (text) complain(text);
    };

    const take = (files) => {
      if (!files.length) return;
      camera.value = "";
      input.files = files;
      show();
    };

    input.addEventListener("change", () => { camera.value = ""; show(); });
    camera.addEventListener("change", () => { input.value = ""; show(); });
    document.addEventListener("paste", (event) => {
      if (event.clipboardData && event.clipboardData.files.length) {
        event.preventDefault();
        take(event.clipboardData.files);
      }
    });
    ["dragover", "dragleave", "drop"].forEach((name) => {
      zone.addEventListener(name, (event) => {
        event.preventDefault();
        zone.classList.toggle("over", name === "dragover");
      });
    });
    zone.addEventListener("drop", (event) => take(event.dataTransfer.files));

    form.addEventListener("htmx:xhr:progress", (event) => {
      if (!event.detail.lengthComputable) return;
      progress.hidden = event.detail.loaded >= event.detail.total;
      progress.value = (100 * event.detail.loaded) / event.detail.total;
    });
    form.addEventListener("htmx:afterRequest", () => { progress.hidden = true; });
    form.addEventListener("htmx:sendError", () => complain(form.dataset.textNoNetwork));
    if (chosen().length) show();
  };

  document.querySelectorAll("[data-upload]").forEach(start);
})();
