// Begins with the facts of the subject and wakes the two halves of the page.

import { byId, fail, value } from "./dom.js";
import { startReader } from "./reader.js";
import { startWriter } from "./writer.js";

const facts = await value("facts");
document.title = `${facts.subject} · emotion-interp`;
byId("subject").textContent = facts.subject;
byId("about").textContent = facts.about;
document.querySelector("main").hidden = false;
addEventListener("unhandledrejection", (event) => {
  // what failed at the server has been said already
  if (byId("failure").hidden) fail(String(event.reason?.message ?? event.reason));
  event.preventDefault();
});
const reader = startReader(facts);
startWriter(facts, reader);
document.body.dataset.ready = "yes";
