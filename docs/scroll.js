// what scrolls sideways is reached by keyboard too, and has a name that is read out
(() => {
  const above = (box) => {
    let place = box;
    while (place && !/^H[1-6]$/.test(place.tagName)) place = place.previousElementSibling || place.parentElement;
    return place ? place.firstChild.textContent.trim() : document.title;
  };
  const boxes = ".md-typeset table, .md-typeset__scrollwrap, .md-typeset p, .md-typeset pre > code";
  const mark = () => document.querySelectorAll(boxes).forEach((box, i) => {
    const scrolls = box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).overflowX !== "visible";
    if (!scrolls || box.hasAttribute("tabindex")) return;
    box.setAttribute("tabindex", "0");
    if (box.tagName === "TABLE" || box.tagName === "CODE") return;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", `${above(box)}, part ${i + 1}`);
  });
  addEventListener("load", mark);
  addEventListener("resize", mark);
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
})();
