"use strict";

// From strokes to the picture that the network sees; `metalearn.draw_strokes` does the same, to the last bit.
const Strokes = (() => {
  const SIDE = 28; // of the picture
  const EXTENT = 18; // of the longer side of a drawing, in pixels: the mean of the glyphs
  const PEN = 0.7; // half the pen's width, in pixels
  const LEAST = 0.2; // a drawing smaller than this part of the pad is not made larger than the part would be

  // The squared distance of a point from the line between a and b.
  function squaredDistance(x, y, [ax, ay], [bx, by]) {
    const dx = bx - ax, dy = by - ay;
    const length = dx * dx + dy * dy;
    const along = length > 0 ? Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / length)) : 0;
    const ex = x - (ax + along * dx), ey = y - (ay + along * dy);
    return ex * ex + ey * ey;
  }

  // strokes: lists of points [x, y] in parts of the pad's side, y downwards. 28x28 grey levels, ink is 255.
  function picture(strokes) {
    const points = strokes.flat();
    const pixels = new Uint8Array(SIDE * SIDE);
    if (!points.length) return pixels;
    const [left, right, top, bottom] = [0, 0, 1, 1].map((axis, i) =>
      points.reduce((best, point) => (i % 2 ? Math.max : Math.min)(best, point[axis]), i % 2 ? -Infinity : Infinity),
    );
    const scale = EXTENT / Math.max(right - left, bottom - top, LEAST);
    const placed = strokes.map((stroke) =>
      stroke.map(([x, y]) => [(x - (left + right) / 2) * scale + SIDE / 2, (y - (top + bottom) / 2) * scale + SIDE / 2]),
    );
    const lines = placed.flatMap((stroke) => stroke.map((point, i) => [stroke[Math.max(0, i - 1)], point]));
    for (let i = 0; i < pixels.length; i++) {
      const x = (i % SIDE) + 0.5, y = Math.floor(i / SIDE) + 0.5;
      let nearest = Infinity;
      for (const [a, b] of lines) nearest = Math.min(nearest, squaredDistance(x, y, a, b));
      pixels[i] = Math.floor(255 * Math.min(1, Math.max(0, 0.5 + PEN - Math.sqrt(nearest))) + 0.5);
    }
    return pixels;
  }

  return { SIDE, picture };
})();
