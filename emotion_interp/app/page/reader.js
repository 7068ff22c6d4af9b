// Reading: a text token by token at any layer, the features of a token, the card of a feature.

import { byId, copy, fail, languageName, make, options, say, sendsItsForm, value } from "./dom.js";

const STRONGEST = "strongest";

export function startReader(facts) {
  const layer = byId("layer"), emotion = byId("emotion"), kind = byId("kind"), tokens = byId("tokens");
  let read = null, chosenToken = null, asked = 0, askedTokens = 0;

  options(byId("read-language"), ["", ...facts.languages], "", (name) => (name ? languageName(name) : "as the text reads"));
  const emotionName = (name) => (name === STRONGEST ? "the strongest of each token" : name);
  const kindName = (name) => ({ features: "sets of features", dense: "the whole stream" })[name] ?? name;
  layer.max = facts.sites.length - 1;
  layer.value = facts.first_site;

  const site = () => facts.sites[Number(layer.value)];
  const at = () => read.sites.indexOf(site().name);
  const values = () => read.values[kind.value][at()];
  // below 0 is less than neutral text shows: no colour
  const share = (number) => Math.min(Math.max(number / read.limit, 0), 1).toFixed(3);
  const best = (numbers) => numbers.reduce((top, number, i) => (number > numbers[top] ? i : top), 0);
  // what one neutral token (or text) in 20 reaches is known for the kind that was asked for alone
  const above = (number, levels, i) => number > 0 && (kind.value !== read.kind || number > (levels[at()]?.[i] ?? 0));
  const visible = (token) => token.replaceAll("\n", "↵").replaceAll("\t", "⇥") || "␣";
  const which = () => read.emotions.indexOf(emotion.value);

  function draw() {
    const place = site();
    byId("layer-name").textContent = place.kind === "resid_post" ? `${place.layer}` : `${place.layer}, ${place.kind}`;
    layer.setAttribute("aria-valuetext", place.name);
    if (!read) return;
    drawTokens();
    if (byId("map-place").open) drawMap();
  }

  function drawTokens() {
    const had = tokens.contains(document.activeElement);
    const marked = read.marks.some((marks) => marks.length);
    byId("legend").textContent = [
      read.note, read.facts[kind.value]?.[at()] ?? "",
      which() < 0 ? "A token has the colour of its strongest emotion, which is named where few neutral tokens read as high." : `Coloured by ${emotion.value}.`,
      marked ? "Underlined: written by the subject." : "",
    ].filter(Boolean).join(" ");
    tokens.replaceChildren(...read.sentences.map(([first, stop], n) => make("div", { class: "sentence", role: "group", "aria-label": `Sentence ${n + 1}` },
      verdict(n), ...read.tokens.slice(first, stop).map((_, i) => tokenButton(first + i)))));
    if (had) tokens.querySelector(".token[tabindex='0']")?.focus();
  }

  /** The strongest emotions of a sentence, each a button that colours the text by it. */
  function verdict(n) {
    const numbers = read.sentence_values[kind.value][at()][n];
    const order = numbers.map((number, i) => [number, i]).sort((a, b) => b[0] - a[0]).slice(0, 3);
    const named = above(order[0][0], read.sentence_levels, order[0][1]);
    const most = Math.max(order[0][0], 1e-9);
    return make("div", { class: "chips" }, make("span", { class: "hint" }, named ? "reads as" : "no more than neutral text:"),
      ...order.map(([number, i]) => {
        const name = read.emotions[i];
        const chip = make("button", { type: "button", class: "chip", tabindex: "-1", "aria-pressed": String(emotion.value === name), "--v": named ? Math.max(number / most, 0).toFixed(3) : 0 },
          `${name} ${number.toFixed(2)}`);
        chip.addEventListener("click", () => { emotion.value = emotion.value === name ? STRONGEST : name; draw(); });
        return chip;
      }));
  }

  function tokenButton(i) {
    const numbers = values()[i], top = which() < 0 ? best(numbers) : which(), number = numbers[top];
    const named = which() < 0 && above(number, read.token_levels, top);
    return make("button", {
      type: "button", class: ["token", ...(read.marks[i].length ? ["generated"] : []), ...(read.marks[i].includes("steered") ? ["steered"] : [])].join(" "),
      tabindex: i === (chosenToken ?? 0) ? "0" : "-1", "data-token": i, "aria-pressed": String(i === chosenToken),
      title: [`${read.emotions[top]} ${number.toFixed(2)}`, ...read.marks[i]].join(", "), "--v": share(number),
    }, visible(read.tokens[i]), make("small", {}, named ? read.emotions[top] : "\u00a0"));
  }

  function drawMap() {
    const order = read.emotions.map((name, i) => [name, i, Math.max(...values().map((numbers) => numbers[i]))]).sort((a, b) => b[2] - a[2]);
    const head = make("tr", {}, make("td"), ...read.tokens.map((token) => make("th", { scope: "col" }, visible(token))));
    const rows = order.map(([name, i]) => make("tr", {}, make("th", { scope: "row" }, name), ...values().map((numbers, t) =>
      make("td", { title: `${name} at “${read.tokens[t]}”: ${numbers[i].toFixed(2)}`, "--v": share(numbers[i]) },
        make("span", { class: "unseen" }, numbers[i].toFixed(2))))));
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
      const isFirst = read === null;
      read = answer;
      // an emotion that this language's read-outs lack is none to colour by
      options(emotion, [STRONGEST, ...read.emotions], read.emotions.includes(emotion.value) ? emotion.value : STRONGEST, emotionName);
      options(kind, Object.keys(read.values), kind.value || read.kind, kindName);
      if (isFirst) layer.value = facts.sites.findIndex((place) => place.name === read.sites[read.best]);
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
    const top = read.emotions[which() < 0 ? best(read.values.features?.[at()]?.[index] ?? values()[index]) : which()];
    const turn = ++askedTokens;
    const answer = await value("token", { text: read.text, token: index, site: site().name, language: read.language, emotion: top });
    if (turn !== askedTokens) return;
    fail("");
    byId("details-hint").hidden = true;
    const list = (title, features, right, of) => {
      if (!features.length) return [];
      const most = Math.max(...features.map((feature) => Math.abs(right(feature))), 1e-9);
      return [make("h3", {}, title), make("ol", {}, ...features.map((feature) => make("li", {}, featureButton(answer.site, feature, right(feature), Math.abs(right(feature)) / most, of(feature)))))];
    };
    byId("token-features").replaceChildren(
      make("p", { class: "hint" }, make("span", {}, "At "), make("strong", {}, `“${answer.token.trim() || answer.token}”`),
        ` in layer ${site().layer}, ${answer.n_firing} features fire.`),
      ...list(`What they add to ${top}`, answer.heard, (feature) => feature.adds, (feature) => `fires at ${feature.activation.toPrecision(3)}`),
      ...list("Kept for an emotion", answer.kept, (feature) => feature.activation, (feature) => feature.emotions.join(", ")),
      ...list("Others, and what they answer to most", answer.others, (feature) => feature.activation, (feature) => feature.emotions.join(", ")));
    byId("card").replaceChildren();
    say(`${answer.n_firing} features at ${answer.token}.`);
    if (innerWidth <= 960) byId("details").scrollIntoView({ behavior: "smooth", block: "nearest" });
  }

  function featureButton(place, feature, number, part, of) {
    const button = make("button", { type: "button", class: "feature", "aria-pressed": "false", disabled: !feature.has_card, title: feature.has_card ? "Show its card" : "The bank has no scores of it" },
      make("b", {}, String(feature.feature)), make("span", { class: "of" }, of),
      make("span", { class: "strength" }, number < 0 ? `−${Math.abs(number).toPrecision(3)}` : number.toPrecision(3)),
      make("span", { class: "bar", "--v": part.toFixed(3), "--tone": number < 0 ? "var(--cold)" : "var(--hot)" }));
    button.addEventListener("click", () => showCard(place, feature.feature, button));
    return button;
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
  for (const select of [emotion, kind]) select.addEventListener("change", draw);
  byId("map-place").addEventListener("toggle", () => read && drawMap());
  byId("read-copy").addEventListener("click", (event) => copy(read.python[site().name], event.currentTarget));
  tokens.addEventListener("click", (event) => {
    const token = event.target.closest(".token");
    if (token) showToken(Number(token.dataset.token));
  });
  tokens.addEventListener("keydown", (event) => {
    const all = [...tokens.querySelectorAll(".token, .chip")], now = all.indexOf(document.activeElement);
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
