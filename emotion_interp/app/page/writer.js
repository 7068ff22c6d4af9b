// Writing: a prompt continued without and with steering, side by side, as the tokens come.

import { ask, byId, copy, fail, languageName, make, options, say, sendsItsForm } from "./dom.js";
import { startPlane } from "./plane.js";

export function startWriter(facts, reader) {
  const writable = facts.sites.filter((site) => site.writable);
  const middle = writable.includes(facts.sites[facts.first_site]) ? facts.sites[facts.first_site] : writable[0];
  let running = null, last = null, code = "";

  const likely = facts.emotions.includes("joy") ? "joy" : facts.emotions[0];
  byId("emotions").replaceChildren(...facts.emotions.map((name) =>
    make("label", {}, make("input", { type: "checkbox", name: "emotion", value: name, checked: name === likely }), make("span", {}, name))));
  options(byId("site"), writable.map((site) => site.name), middle?.name, (name) => {
    const site = writable.find((one) => one.name === name);
    return `layer ${site.layer}${site.kind === "resid_post" ? "" : `, ${site.kind}`}`;
  });
  options(byId("method"), facts.methods, facts.methods.includes("sae") ? "sae" : facts.methods[0]);
  options(byId("steer-language"), facts.languages, facts.languages[0], languageName);
  options(byId("positions"), facts.positions, "generated", (name) => name.replaceAll("_", " "));
  byId("new-tokens").max = Math.min(facts.most_new_tokens, facts.context - 1);
  const way = () => document.querySelector("input[name='way']:checked").value;
  const dose = byId("dose");
  const showDose = () => {
    const size = way() === "point" ? Math.hypot(point().valence, point().arousal) : 1;
    dose.nextElementSibling.textContent = Number(dose.value).toFixed(2) + (way() === "point" ? ` × ${size.toFixed(1)}` : "");
  };
  let point = () => ({ valence: 0, arousal: 0 });
  if (facts.plane.length) point = startPlane(facts.plane, () => way() === "point" && showDose());
  else document.querySelector("input[value='point']").closest("label").hidden = true;
  dose.addEventListener("input", showDose);
  byId("way").addEventListener("change", () => {
    byId("by-emotions").hidden = way() !== "emotions";
    byId("by-point").hidden = way() !== "point";
    // an axis needs directions of nearly all emotions, which features seldom give
    if (way() === "point" && facts.methods.includes("dense")) byId("method").value = "dense";
    showDose();
  });
  showDose();

  function question() {
    const emotions = [...document.querySelectorAll("input[name='emotion']:checked")].map((box) => box.value);
    return {
      prompt: byId("prompt").value,
      ...(way() === "point" ? point() : { emotions }),
      dose: Number(dose.value), site: byId("site").value, method: byId("method").value, language: byId("steer-language").value,
      positions: byId("positions").value, max_new_tokens: Number(byId("new-tokens").value), do_sample: byId("sampled").checked,
      temperature: Number(byId("temperature").value), seed: Number(byId("seed").value),
    };
  }

  const named = (asked) => (asked.emotions ? asked.emotions.join(" and ") : `valence ${asked.valence.toFixed(1)}, arousal ${asked.arousal.toFixed(1)}`);

  async function write() {
    running?.abort();
    const mine = new AbortController();
    running = mine;
    const asked = question(), places = [byId("unsteered"), byId("steered")];
    fail("");
    try {
      const answer = await ask("write", asked, mine.signal);
      byId("written").hidden = false;
      byId("towards").textContent = `Steered to ${named(asked)}, dose ${asked.dose}`;
      for (const place of places) place.replaceChildren(make("span", {}, asked.prompt));
      for (const button of document.querySelectorAll(".again")) button.disabled = true;
      byId("stop").disabled = false;
      byId("took").textContent = "writing …";
      for await (const [name, said] of events(answer.body)) {
        if (name === "begun") { code = said.python; byId("steer-copy").disabled = false; }
        if (name === "piece") places[said.row].append(said.text);
        if (name === "failed") { fail(said.error); byId("took").textContent = ""; }
        if (name === "done") {
          last = { ...said };
          byId("took").textContent = `${said.stopped ? "stopped after " : ""}${said.seconds} s`;
          for (const button of document.querySelectorAll(".again")) button.disabled = false;
          say(said.stopped ? "Stopped." : "Written.");
        }
      }
    } catch (error) {
      if (error.name !== "AbortError") throw error;
    } finally {
      if (running === mine) { running = null; byId("stop").disabled = true; }
    }
  }

  byId("steer-form").addEventListener("submit", (event) => { event.preventDefault(); write(); });
  sendsItsForm(byId("prompt"));
  byId("stop").addEventListener("click", () => ask("stop", {}));
  byId("steer-copy").addEventListener("click", (event) => copy(code, event.currentTarget));
  for (const button of document.querySelectorAll(".again")) {
    button.addEventListener("click", () => reader.readWritten(last.texts[button.dataset.row], last.generated_from, button.dataset.row === "1"));
  }
}

/** Server-sent events of a stream, as pairs of name and what it says. */
async function* events(body) {
  const decoder = new TextDecoder(), stream = body.getReader();
  let waiting = "";
  for (;;) {
    const { done, value } = await stream.read();
    if (done) return;
    waiting += decoder.decode(value, { stream: true });
    const whole = waiting.split("\n\n");
    waiting = whole.pop();
    for (const text of whole) {
      const [name, data] = text.split("\n").map((line) => line.slice(line.indexOf(": ") + 2));
      yield [name, JSON.parse(data)];
    }
  }
}
