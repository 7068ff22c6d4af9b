// The page's hands: elements by name, elements made of text, and questions to the server.

export const byId = (name) => document.getElementById(name);

/** An element with attributes and children; a child that is text stays text. */
export function make(tag, attributes = {}, ...children) {
  const space = ["svg", "line", "circle", "text", "g"].includes(tag) ? "http://www.w3.org/2000/svg" : "http://www.w3.org/1999/xhtml";
  const element = document.createElementNS(space, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") element.setAttribute("class", value);
    else if (name.startsWith("--")) element.style.setProperty(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

export function options(select, names, chosen, shown = (name) => name) {
  select.replaceChildren(...names.map((name) => make("option", { value: name, selected: name === chosen }, shown(name))));
}

export function say(text) {
  byId("said").textContent = text;
}

export function fail(text) {
  const place = byId("failure");
  place.textContent = text;
  place.hidden = !text;
  if (text) place.scrollIntoView({ block: "nearest" });
}

/** Ask the server; a failure is shown in one line and thrown. */
export async function ask(path, question, signal) {
  let answer;
  try {
    answer = await fetch(path, {
      method: question === undefined ? "GET" : "POST",
      body: question === undefined ? undefined : JSON.stringify(question),
      headers: question === undefined ? {} : { "content-type": "application/json" },
      signal,
    });
  } catch (error) {
    if (error.name !== "AbortError") fail("The server does not answer; start it again with emotion-interp serve.");
    throw error;
  }
  if (!answer.ok) {
    const text = await answer.text();
    let line = text.trim();
    try { line = JSON.parse(text).error; } catch { /* a plain line */ }
    fail(line);
    throw new Error(line);
  }
  return answer;
}

export const value = async (path, question) => (await ask(path, question)).json();

const LANGUAGES = new Intl.DisplayNames(["en"], { type: "language" });

export function languageName(code) {
  try { return LANGUAGES.of(code) ?? code; } catch { return code; }
}

/** Copy text; where the browser refuses, it is shown, selected, to copy by hand. */
export async function copy(text, button) {
  const named = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    say("Copied as Python.");
    setTimeout(() => { button.textContent = named; }, 1500);
  } catch {
    const place = make("textarea", { rows: "8", "aria-label": "Python to copy", readonly: true });
    place.value = text;
    button.closest(".row").after(place);
    place.focus();
    place.select();
    place.addEventListener("blur", () => place.remove());
  }
}

/** Ctrl + Enter (or Command) in a text sends its form. */
export function sendsItsForm(textarea) {
  textarea.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      textarea.form.requestSubmit();
    }
  });
}
