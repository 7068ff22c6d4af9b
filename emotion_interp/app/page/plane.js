// The plane of valence and arousal: where people put the emotions, and a point to drag or to move with two sliders.

import { byId, make } from "./dom.js";

const EDGE = 160;

export function startPlane(places, changed) {
  const plane = byId("plane"), valence = byId("valence"), arousal = byId("arousal");
  const most = Math.max(2.5, ...places.flatMap((place) => [Math.abs(place.valence), Math.abs(place.arousal)])) + 0.1, unit = (EDGE - 10) / most;
  const x = (number) => number * unit, y = (number) => -number * unit;
  for (const slider of [valence, arousal]) Object.assign(slider, { min: -most.toFixed(1), max: most.toFixed(1) });

  // the places of the names of the axes
  const drawn = [[88, -16, EDGE, 0], [0, -EDGE, 60, -EDGE + 14]];
  // the emotions furthest out are named first; a name that would cover another is left to the list below
  for (const place of [...places].sort((a, b) => Math.hypot(b.valence, b.arousal) - Math.hypot(a.valence, a.arousal))) {
    const width = place.emotion.length * 5.9, right = x(place.valence) + 6 + width < 156;
    const left = right ? x(place.valence) + 6 : x(place.valence) - 6 - width, top = y(place.arousal) - 6;
    const box = [left, top, left + width, top + 11];
    plane.append(make("circle", { cx: x(place.valence), cy: y(place.arousal), r: 2.5 }));
    if (drawn.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3])) continue;
    drawn.push(box);
    plane.append(make("text", { x: left, y: y(place.arousal) + 3.5 }, place.emotion));
  }
  plane.prepend(
    make("line", { x1: -160, x2: 160, y1: 0, y2: 0 }), make("line", { x1: 0, x2: 0, y1: -160, y2: 160 }),
    make("text", { class: "axis", x: 156, y: -5, "text-anchor": "end" }, "pleasant →"), make("text", { class: "axis", x: 5, y: -148 }, "↑ excited"));
  const arm = make("line", { class: "arm", x1: 0, y1: 0 }), point = make("circle", { class: "point", r: 9 });
  plane.append(arm, point);

  function draw() {
    const v = Number(valence.value), a = Number(arousal.value);
    for (const [name, number] of Object.entries({ x2: x(v), y2: y(a) })) arm.setAttribute(name, number);
    point.setAttribute("cx", x(v));
    point.setAttribute("cy", y(a));
    for (const slider of [valence, arousal]) slider.nextElementSibling.textContent = Number(slider.value).toFixed(1);
    const near = [...places].sort((p, q) => Math.hypot(p.valence - v, p.arousal - a) - Math.hypot(q.valence - v, q.arousal - a));
    byId("near").textContent = `Nearest: ${near.slice(0, 3).map((place) => place.emotion).join(", ")}. In standard deviations over the emotions; the dose grows with the distance from the middle.`;
    changed();
  }

  function move(event) {
    const box = plane.getBoundingClientRect(), scale = 320 / box.width;
    valence.value = ((event.clientX - box.left) * scale - EDGE) / unit;
    arousal.value = -((event.clientY - box.top) * scale - EDGE) / unit;
    draw();
  }

  plane.addEventListener("pointerdown", (event) => { plane.setPointerCapture(event.pointerId); move(event); });
  plane.addEventListener("pointermove", (event) => { if (event.buttons) move(event); });
  for (const slider of [valence, arousal]) slider.addEventListener("input", draw);
  draw();
  return () => ({ valence: Number(valence.value), arousal: Number(arousal.value) });
}
