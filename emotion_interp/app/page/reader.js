// Reading: a text token by token at any layer, the features of a token, the card of a feature.

import { byId, copy, fail, languageName, make, options, say, sendsItsForm, value } from "./dom.js";

const STRONGEST = "strongest";

export function startReader(facts) {
  const layer = byId("layer"), emotion = byId("emotion"), tokens = byId("tokens");
  let read = null, chosenToken = null, asked = 0;

  options(byId("read-language"), ["", ...facts.languages], "", (name) => (name ? languageName(name) : "as the text reads"));
  options(emotion, [STRONGEST, ...facts.emotions], STRONGEST, (name) => (name === STRONGEST ? "the strongest of each token" : name));
  layer.max = facts.sites.length - 1;
  layer.value = facts.first_site;

  const site = () => facts.sites[Number(layer.value)];
  const row = () => read.values[read.sites.indexOf(site().name)];
  const share = (number) => Math.min(Math.abs(number) / read.limit, 1).toFixed(3);
  const tone = (number) => (number < 0 ? "var(--cold)" : "var(--hot)");
  const strongest = (numbers) => numbers.reduce((best, number, i) => (number > numbers[best] ? i : best), 0);

  function draw() {
    const place = site();
    byId("layer-name").textContent = place.kind === "resid_post" ? `${place.layer}` : `${place.layer}, ${place.kind}`;
    layer.setAttribute("aria-valuetext", place.name);
    if (!read) return;
    drawSentence();
    drawTokens();
    if (byId("map-place").open) drawMap();
  }

  function drawSentence() {
    const means = read.emotions.map((name, i) => [name, row().reduce((sum, numbers) => sum + numbers[i], 0) / row().length]);
    means.sort((a, b) => b[1] - a[1]);
    const most = Math.max(means[0][1], 1e-9);
    byId("sentence").replaceChildren(
      make("span", { class: "hint" }, `In the whole text, read as ${languageName(read.language)}${read.chosen_language ? "" : " (as it looks)"}:`),
      ...means.slice(0, 5).map(([name, mean]) => {
        const chip = make("button", { type: "button", class: "chip", "aria-pressed": String(emotion.value === name), "--v": Math.max(mean / most, 0).toFixed(3) }, name);
        chip.addEventListener("click", () => { emotion.value = emotion.value === name ? STRONGEST : name; draw(); });
        return chip;
      }),
    );
  }

  function drawTokens() {
    const which = read.emotions.indexOf(emotion.value);
    const before = tokens.contains(document.activeElement);
    byId("legend").textContent = which < 0
      ? "Each token is coloured by its strongest emotion, which is named where it is clear. Underlined: written by the subject."
      : `Coloured by ${emotion.value}.`;
    tokens.replaceChildren(...read.tokens.map((token, i) => {
      const numbers = row()[i], best = which < 0 ? strongest(numbers) : which, number = numbers[best];
      const shown = token.replaceAll("\n", "↵").replaceAll("\t", "⇥") || "␣";
      const kinds = ["token", read.generated[i] && "generated", read.generated[i] && read.steered && "steered"].filter(Boolean).join(" ");
      const named = which < 0 && Number(share(number)) >= 0.4 && number > 0;
      const button = make("button", {
        type: "button", class: kinds, tabindex: i === (chosenToken ?? 0) ? "0" : "-1", "data-token": i,
        "aria-pressed": String(i === chosenToken), title: `${read.emotions[best]} ${number.toPrecision(3)}`,
        "--v": share(number), "--tone": tone(number),
      }, shown, make("small", {}, named ? read.emotions[best] : "\u00a0"));
      return button;
    }));
    if (before) tokens.querySelector("[tabindex='0']")?.focus();
  }

  function drawMap() {
    const order = read.emotions.map((name, i) => [name, i, Math.max(...row().map((numbers) => numbers[i]))]).sort((a, b) => b[2] - a[2]);
    const head = make("tr", {}, make("th", { scope: "col" }, "emotion"), ...read.tokens.map((token) => make("th", { scope: "col" }, token)));
    const rows = order.map(([name, i]) => make("tr", {}, make("th", { scope: "row" }, name), ...row().map((numbers, t) =>
      make("td", { title: `${name} at “${read.tokens[t]}”: ${numbers[i].toPrecision(3)}`, "--v": share(numbers[i]), "--tone": tone(numbers[i]) },
        make("span", { class: "unseen" }, numbers[i].toPrecision(2))))));
    byId("map").replaceChildren(make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
  }

  async function readText(text, more = {}) {
    const turn = ++asked;
    const language = byId("read-language").value || null;
    tokens.setAttribute("aria-busy", "true");
    try {
      const answer = await value("read", { text, language, ...more });
      // a later question overtakes an earlier one
      if (turn !== asked) return;
      fail("");
      read = answer;
      chosenToken = null;
      byId("token-features").replaceChildren();
      byId("card").replaceChildren();
      byId("details-hint").hidden = false;
      byId("reading").hidden = false;
      draw();
      say(`Read: ${read.tokens.length} tokens.`);
    } finally {
      tokens.removeAttribute("aria-busy");
    }
  }

  async function showToken(index) {
    chosenToken = index;
    drawTokens();
    const answer = await value("token", { text: read.text, token: index, site: site().name, language: read.language });
    fail("");
    byId("details-hint").hidden = true;
    const most = Math.max(...answer.features.map((feature) => feature.activation), 1e-9);
    const item = (feature) => {
      const button = make("button", { type: "button", class: "feature", "aria-pressed": "false" },
        make("b", {}, String(feature.feature)),
        make("span", { class: "of" }, feature.emotions.join(", ")),
        make("span", { class: "strength", title: "activation" }, feature.activation.toPrecision(3)),
        make("span", { class: "bar", "--v": (feature.activation / most).toFixed(3) }));
      button.addEventListener("click", () => showCard(answer.site, feature.feature, button));
      return make("li", {}, button);
    };
    const kept = answer.features.filter((feature) => feature.kept), others = answer.features.filter((feature) => !feature.kept);
    byId("token-features").replaceChildren(
      make("p", { class: "hint" }, make("span", {}, "At "), make("strong", {}, `“${answer.token.trim() || answer.token}”`),
        ` in layer ${site().layer}, ${answer.n_firing} features fire.`),
      ...(kept.length ? [make("h3", {}, "Kept for an emotion"), make("ol", {}, ...kept.map(item))] : [make("p", {}, "None of them is kept for an emotion.")]),
      ...(others.length ? [make("h3", {}, "Others, and what they answer to most"), make("ol", {}, ...others.map(item))] : []));
    byId("card").replaceChildren();
    say(`${answer.features.length} features at ${answer.token}.`);
    if (innerWidth <= 960) byId("details").scrollIntoView({ behavior: "smooth", block: "nearest" });
  }

  async function showCard(place, feature, button) {
    for (const other of document.querySelectorAll(".feature")) other.setAttribute("aria-pressed", String(other === button));
    const answer = await value("card", { site: place, feature });
    fail("");
    const made = make("button", { type: "button" }, "Copy as Python");
    made.addEventListener("click", () => copy(answer.python, made));
    const shown = make("div");
    // escaped where it was made; scripts in it would not run, the page's policy has none
    shown.innerHTML = answer.html;
    for (const wide of shown.querySelectorAll(".ei-scroll")) { wide.tabIndex = 0; wide.setAttribute("role", "region"); wide.setAttribute("aria-label", "Scores"); }
    byId("card").replaceChildren(shown, make("p", { class: "row" }, made));
    byId("card").scrollIntoView({ behavior: "smooth", block: "nearest" });
    say(`Card of feature ${feature}.`);
  }

  byId("read-form").addEventListener("submit", (event) => {
    event.preventDefault();
    readText(byId("text").value);
  });
  sendsItsForm(byId("text"));
  layer.addEventListener("input", () => {
    draw();
    if (chosenToken !== null) showToken(chosenToken);
  });
  emotion.addEventListener("change", draw);
  byId("map-place").addEventListener("toggle", () => read && drawMap());
  byId("read-copy").addEventListener("click", (event) => copy(read.python[site().name], event.currentTarget));
  tokens.addEventListener("click", (event) => {
    const token = event.target.closest(".token");
    if (token) showToken(Number(token.dataset.token));
  });
  tokens.addEventListener("keydown", (event) => {
    const all = [...tokens.children], now = all.indexOf(document.activeElement);
    const next = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: all.length - 1 }[event.key];
    if (next === undefined || !all[next]) return;
    event.preventDefault();
    all[now]?.setAttribute("tabindex", "-1");
    all[next].setAttribute("tabindex", "0");
    all[next].focus();
  });
  draw();
  readText(byId("text").value);

  return {
    /** Read what the subject wrote; its own words are marked. */
    readWritten(text, generatedFrom, steered) {
      byId("text").value = text;
      byId("read").scrollIntoView({ behavior: "smooth", block: "start" });
      return readText(text, { generated_from: generatedFrom, steered });
    },
  };
}
