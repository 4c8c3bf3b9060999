"use strict";

// The pad: draw a character, name it, draw another, and see which it is. Each element of the class
// `draw-a-character` becomes one. `WEIGHTS` and `GLYPHS` are made from the package when the book is built.
const Demo = (() => {
  const MOST = 5; // classes
  const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c6d1f"];
  const STEP = 0.04; // of the pen for one press of an arrow key, in parts of the pad
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  // Arithmetic

  const mean = (rows) => rows[0].map((_, k) => rows.reduce((sum, row) => sum + row[k], 0) / rows.length);
  const dot = (a, b) => a.reduce((sum, number, k) => sum + number * b[k], 0);
  const minus = (a, b) => a.map((number, k) => number - b[k]);
  const squared = (a, b) => dot(minus(a, b), minus(a, b));

  // The squared Euclidean distance of an embedding from the mean of each class: prototypical networks.
  const distances = (z, classes) => classes.map(({ examples }) => squared(z, mean(examples.map((e) => e.z))));
  const nearest = (numbers) => numbers.indexOf(Math.min(...numbers));

  // The middle of points, and the two directions in which they spread most, by repeated multiplication.
  function mainDirections(points) {
    const middle = mean(points);
    const centred = points.map((point) => minus(point, middle));
    const found = [];
    for (let number = 0; number < 2; number++) {
      let direction = middle.map((_, k) => Math.cos(k * (number + 1)));
      for (let turn = 0; turn < 60; turn++) {
        const pulled = centred.map((point) => dot(point, direction));
        direction = direction.map((own, k) => 1e-6 * own + centred.reduce((sum, p, i) => sum + p[k] * pulled[i], 0));
        for (const other of found) direction = minus(direction, other.map((v) => v * dot(other, direction)));
        const length = Math.sqrt(dot(direction, direction));
        direction = direction.map((v) => v / length);
      }
      found.push(direction);
    }
    return (z) => found.map((direction) => dot(minus(z, middle), direction));
  }

  // Elements

  function make(tag, attributes = {}, ...children) {
    const svg = ["svg", "circle", "line", "text", "g"].includes(tag);
    const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (typeof value === "function") element.addEventListener(name, value);
      else element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }

  function thumbnail(picture) {
    const canvas = make("canvas", { width: Strokes.SIDE, height: Strokes.SIDE, "aria-hidden": "true" });
    const context = canvas.getContext("2d");
    const image = context.createImageData(Strokes.SIDE, Strokes.SIDE);
    picture.forEach((grey, i) => image.data.set([255 - grey, 255 - grey, 255 - grey, 255], 4 * i));
    context.putImageData(image, 0, 0);
    return canvas;
  }

  const bytes = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

  function start(place, number) {
    const weights = Network.read(WEIGHTS);
    let classes = []; // { name, colour, examples: [{ picture, z }] }
    let strokes = [];
    let shown = null; // the drawing, or a glyph that was chosen: { picture, z }
    let pointer = null; // the one that draws; a second finger or a hand does not
    let own = false; // was something taught that "Try these" would lose?
    const pen = { x: 0.5, y: 0.5, down: false }; // of the arrow keys

    const seen = (picture) => ({ picture, z: Array.from(Network.embed(picture, weights)) });

    const pad = make("canvas", {
      class: "pad", width: 560, height: 560, tabindex: 0, role: "application",
      "aria-label": "Drawing pad", "aria-describedby": `pad-help-${number}`,
    });
    const sees = make("div", { class: "sees" });
    const name = make("input", {
      id: `pad-name-${number}`, maxlength: 12, autocomplete: "off", size: 8,
    });
    const answer = make("p", { class: "answer", role: "status" });
    const legend = make("p", { class: "help" });
    const list = make("ul", { class: "classes", role: "list", "aria-label": "Characters that are known" });
    const map = make("svg", { class: "map", viewBox: "-10 -10 220 220", role: "img" });
    const examples = make("div", { class: "try", role: "group", "aria-label": "Drawings to ask about" });

    // What happens

    function draw() {
      const picture = strokes.length ? Strokes.picture(strokes) : null;
      shown = picture && seen(picture);
      show();
    }

    // Nothing drawn any more: the pad is empty or shows a glyph.
    function empty(glyph = null) {
      strokes = [];
      pen.down = false;
      pointer = null;
      shown = glyph;
      show();
    }

    function clear() {
      empty();
      say(invitation());
    }

    function teach(wanted) {
      const known = classes.find((each) => each.name === wanted);
      if (!shown) return say("Draw a character first.");
      if (!wanted) return say("Give the character a name."), name.focus();
      if (!known && classes.length === MOST) return say(`${MOST} characters are known. Forget one first.`);
      own = true;
      if (known) known.examples.push(shown);
      else {
        const colour = COLOURS.find((each) => !classes.some((c) => c.colour === each));
        classes.push({ name: wanted, colour, examples: [shown] });
      }
      const count = known ? known.examples.length : 1;
      name.value = "";
      if (matchMedia("(pointer: coarse)").matches) name.blur(); // a phone's keyboard would hide the pad
      empty();
      say(`${wanted} is known from ${count === 1 ? "one example" : `${count} examples`}. ${invitation()}`);
    }

    function forget(each) {
      classes = classes.filter((other) => other !== each);
      show();
      say(`${each.name} is forgotten. ${answered() ? result() : invitation()}`);
    }

    function tryThese() {
      if (own && classes.length && !confirm("The characters that you taught will be forgotten.")) return;
      own = false;
      name.value = "";
      classes = GLYPHS.known.map(({ name, picture }, i) => ({
        name, colour: COLOURS[i], examples: [seen(bytes(picture))],
      }));
      examples.replaceChildren(...GLYPHS.asked.map(bytes).map((picture, i) =>
        make("button", {
          type: "button", "aria-label": `Ask about drawing ${i + 1}`,
          click: () => empty(seen(picture)),
        }, thumbnail(picture))));
      empty();
      say("Five characters are known from one example each. Choose a small drawing, or draw one of the five yourself.");
    }

    const answered = () => shown && classes.length > 1;
    const invitation = () => ["Draw a character and name it.", "Draw another character and name it."][classes.length] ??
      "Draw one of them again, and see which it is.";

    function result() {
      const numbers = distances(shown.z, classes);
      const order = classes.map((_, i) => i).sort((a, b) => numbers[a] - numbers[b]);
      const [first, second] = order.map((i) => `${classes[i].name} (distance ${numbers[i].toFixed(1)})`);
      const [a, b] = order.map((i) => numbers[i]);
      return a === b ? `Equally near: ${first} and ${second}.` : `Nearest: ${first}, then ${second}.`;
    }

    function say(text) {
      if (answer.textContent !== text) answer.textContent = text;
    }

    // What is seen

    function show() {
      const numbers = answered() ? distances(shown.z, classes) : null;
      showPad();
      showClasses(numbers);
      showMap(numbers);
      if (!shown || pen.down || pointer !== null) return; // nothing is said while one draws
      say(numbers ? result() : "Give it a name, and press Teach.");
    }

    function showPad() {
      const context = pad.getContext("2d");
      const side = pad.width;
      context.fillStyle = "#fff";
      context.fillRect(0, 0, side, side);
      context.lineWidth = side / 26;
      context.lineCap = context.lineJoin = "round";
      context.strokeStyle = "#1a1a1a";
      for (const stroke of strokes) {
        context.beginPath();
        for (const [x, y] of [stroke[0], ...stroke]) context.lineTo(x * side, y * side);
        context.stroke();
      }
      if (!shown && !strokes.length) {
        context.fillStyle = "#6b6b6b";
        context.font = `${side / 14}px sans-serif`;
        context.textAlign = "center";
        context.fillText("draw here", side / 2, side / 2);
      }
      if (shown && !strokes.length) {
        context.imageSmoothingEnabled = false;
        context.drawImage(thumbnail(shown.picture), 0, 0, side, side);
      }
      if (pad.matches(":focus-visible")) {
        context.strokeStyle = context.fillStyle = pen.down ? "#d55e00" : "#0072b2";
        context.lineWidth = 3;
        context[pen.down ? "fillRect" : "strokeRect"](pen.x * side - 9, pen.y * side - 9, 18, 18);
      }
      const caption = make("span", {}, shown ? "what the network sees" : "");
      sees.replaceChildren(...(shown ? [thumbnail(shown.picture), caption] : [caption]));
    }

    function showClasses(numbers) {
      const held = list.querySelector(":focus-visible")?.getAttribute("aria-label");
      const longest = numbers && Math.max(...numbers);
      legend.textContent = numbers ? "How far the drawing lies from each. The shortest bar is the nearest." : "";
      const best = numbers ? nearest(numbers) : -1;
      list.replaceChildren(...classes.map((each, i) => {
        const bar = make("span", { class: "bar" });
        if (numbers) {
          bar.style.width = `${(100 * numbers[i]) / (longest || 1)}%`;
          bar.style.background = each.colour;
        }
        return make("li", i === best ? { class: "nearest" } : {},
          make("span", { class: "name" }, each.name),
          make("span", { class: "verdict" }, i === best ? "nearest" : ""),
          make("span", { class: "examples" }, ...each.examples.map((example) => thumbnail(example.picture))),
          make("span", { class: "track" }, bar),
          make("span", { class: "number" }, numbers ? numbers[i].toFixed(1) : ""),
          make("button", { type: "button", "aria-label": `Add the drawing to ${each.name}`, click: () => teach(each.name) }, "add"),
          make("button", { type: "button", "aria-label": `Forget ${each.name}`, click: () => forget(each) }, "forget"));
      }));
      if (held) { // the keyboard stays where it was: the buttons are new
        const again = [...list.querySelectorAll("button")].find((each) => each.getAttribute("aria-label") === held);
        (again ?? pad).focus();
      }
    }

    function showMap(numbers) {
      const known = classes.flatMap((each) => each.examples.map((example) => ({ ...each, z: example.z })));
      const said = classes.length
        ? `A map of the embeddings of ${classes.map((each) => each.name).join(", ")}.` : "An empty map.";
      map.setAttribute("aria-label", said + (numbers ? ` ${result()}` : ""));
      if (known.length < 2) return map.replaceChildren();
      const flat = mainDirections(known.map(({ z }) => z));
      const places = known.map(({ z }) => flat(z));
      const query = numbers && flat(shown.z);
      const all = query ? [...places, query] : places;
      const reach = Math.max(1e-9, ...all.flat().map(Math.abs));
      const [x, y] = [0, 1].map((axis) => (place) => 100 + (90 * place[axis]) / reach);
      const marks = known.flatMap(({ name, colour }, i) => [
        make("circle", { cx: x(places[i]), cy: y(places[i]), r: 5, fill: colour }),
        make("text", {
          x: x(places[i]), y: y(places[i]) - 8,
          "text-anchor": x(places[i]) < 70 ? "start" : x(places[i]) > 130 ? "end" : "middle",
        }, name),
      ]);
      if (query) {
        const prototype = flat(mean(classes[nearest(numbers)].examples.map((e) => e.z)));
        marks.push(
          make("line", { x1: x(query), y1: y(query), x2: x(prototype), y2: y(prototype) }),
          make("circle", { class: "query", cx: x(query), cy: y(query), r: 6 }));
      }
      map.replaceChildren(...marks);
    }

    // Mouse, finger, pen and keys

    let waits = false;
    let rest = 0; // till when a slow device only shows the ink, so that it keeps up with the pen
    function later() {
      if (waits) return;
      waits = true;
      requestAnimationFrame(() => {
        waits = false;
        const began = performance.now();
        if (pointer !== null && began < rest) return showPad();
        draw();
        const ended = performance.now();
        rest = ended + 2 * (ended - began);
      });
    }

    const inside = (part) => Math.min(1, Math.max(0, part));
    const point = ({ clientX, clientY }) => {
      const { left, top, width, height } = pad.getBoundingClientRect();
      return [inside((clientX - left) / width), inside((clientY - top) / height)];
    };
    pad.addEventListener("pointerdown", (event) => {
      if (event.button || (pointer !== null && event.pointerType !== "pen")) return;
      if (pointer !== null) strokes.pop(); // of the hand that rested on the pad before its pen came
      pointer = event.pointerId;
      pen.down = false;
      pad.setPointerCapture(pointer);
      strokes.push([point(event)]);
      later();
    });
    pad.addEventListener("pointermove", (event) => {
      if (event.pointerId !== pointer) return;
      strokes.at(-1).push(point(event));
      later();
    });
    pad.addEventListener("lostpointercapture", (event) => {
      if (event.pointerId !== pointer) return;
      pointer = null;
      later();
    });
    pad.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey || pointer !== null) return;
      if (event.key === " ") {
        if (!event.repeat) pen.down = !pen.down;
        if (pen.down && !event.repeat) strokes.push([[pen.x, pen.y]]);
      } else if (event.key === "Delete" || event.key === "Backspace") {
        clear();
      } else if (ARROWS[event.key]) {
        const [dx, dy] = ARROWS[event.key];
        [pen.x, pen.y] = [inside(pen.x + STEP * dx), inside(pen.y + STEP * dy)];
        if (pen.down) strokes.at(-1).push([pen.x, pen.y]);
      } else return;
      event.preventDefault();
      later();
    });
    pad.addEventListener("focus", showPad);
    pad.addEventListener("blur", showPad);

    const wanted = () => name.value.normalize().replace(/\s+/g, " ").trim();
    const form = make("form", { submit: (event) => (event.preventDefault(), teach(wanted())) },
      make("label", { for: name.id }, "It is called"), name, make("button", { class: "teach" }, "Teach"));
    const help = "Draw with mouse, finger or pen. With the keyboard: arrow keys move the pen, space puts it down or " +
      "lifts it, Delete clears.";
    place.replaceChildren(
      make("div", { class: "drawing" }, pad, sees, answer, form,
        make("div", { class: "buttons" },
          make("button", { type: "button", click: clear }, "Clear"),
          make("button", { type: "button", click: () => (strokes.pop(), strokes.length ? draw() : clear()) }, "Undo"),
          make("button", { type: "button", click: tryThese }, "Try these",
            ...GLYPHS.known.map(({ picture }) => thumbnail(bytes(picture))))),
        make("p", { id: `pad-help-${number}`, class: "help" }, help)),
      make("div", { class: "knowing" }, legend, list, examples, map));
    show();
    say("Draw a character, give it a name, and press Teach. Two are enough; five are the most.");
  }

  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll(".draw-a-character").forEach(start));

  return { distances, nearest };
})();
