// The page to try the API at: sends what a form says and shows the answer.
"use strict";

(() => {
  const address = (form) => {
    let path = form.dataset.path;
    form.querySelectorAll("[data-path]").forEach((input) => {
      path = path.replace(`{${input.dataset.path}}`, encodeURIComponent(input.value.trim()));
    });
    const query = new URLSearchParams();
    form.querySelectorAll("[data-query]").forEach((input) => {
      if (input.value) query.set(input.dataset.query, input.value);
    });
    return query.size ? `${path}?${query}` : path;
  };

  const request = (form) => {
    const token = document.querySelector("#token").value.trim();
    const headers = { Accept: "application/json" };
    if (token) headers.Authorization = `Token ${token}`;
    else headers["X-CSRFToken"] = form.querySelector("[name=csrfmiddlewaretoken]").value;
    const options = { method: form.dataset.method, headers, credentials: token ? "omit" : "same-origin" };
    const file = form.querySelector("[data-file]");
    const body = form.querySelector("[data-body]");
    if (file) {
      options.body = new FormData();
      options.body.append("file", file.files[0]);
    } else if (body) {
      headers["Content-Type"] = "application/json";
      options.body = body.value;
    }
    return options;
  };

  const send = async (form) => {
    const answer = form.parentElement.querySelector("[data-answer]");
    const status = answer.querySelector("[data-status]");
    const content = answer.querySelector("[data-content]");
    const started = performance.now();
    try {
      const response = await fetch(address(form), request(form));
      const text = await response.text();
      status.textContent = `${response.status} ${response.statusText}, ${Math.round(performance.now() - started)} ms`;
      try {
        content.textContent = JSON.stringify(JSON.parse(text), null, 2);
      } catch {
        content.textContent = text;
      }
    } catch {
      status.textContent = form.dataset.textFailed;
      content.textContent = "";
    }
    answer.hidden = false;
  };

  document.querySelectorAll("[data-try]").forEach((form) => {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      send(form);
    });
  });
})();
