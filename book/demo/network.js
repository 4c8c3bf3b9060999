"use strict";

// The network that ships with the package, `conv4-glyphs`: four blocks, each a convolution of 3x3, what is
// negative set to 0, and the largest of every 2x2. Its batch norms are folded into the convolutions.
const Network = (() => {
  const WIDTH = 64;
  const SIDES = [28, 14, 7, 3]; // of what enters each block

  // float32 in base64: for each block the kernels [out][in][3][3], then a bias for each output.
  function read(base64) {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const numbers = new Float32Array(bytes.buffer);
    let at = 0;
    return SIDES.map((side, number) => {
      const inputs = number ? WIDTH : 1;
      const kernels = numbers.subarray(at, (at += WIDTH * inputs * 9));
      return { side, inputs, kernels, biases: numbers.subarray(at, (at += WIDTH)) };
    });
  }

  // x and the result are [channel][row][column], in one array.
  function block(x, { side, inputs, kernels, biases }) {
    const wide = side + 2; // with a rim of zeros
    const padded = new Float32Array(inputs * wide * wide);
    for (let i = 0; i < inputs * side; i++) {
      const row = (Math.floor(i / side) * wide + (i % side) + 1) * wide + 1;
      padded.set(x.subarray(i * side, (i + 1) * side), row);
    }
    const half = side >> 1;
    const result = new Float32Array(WIDTH * half * half); // zeros: what is negative never exceeds them
    const sums = new Float32Array(side * side);
    for (let out = 0; out < WIDTH; out++) {
      sums.fill(biases[out]);
      for (let k = 0; k < inputs * 9; k++) {
        const weight = kernels[out * inputs * 9 + k];
        const corner = (Math.floor(k / 9) * wide + Math.floor((k % 9) / 3)) * wide + (k % 3);
        for (let row = 0, to = 0; row < side; row++)
          for (let from = corner + row * wide, end = from + side; from < end; ) sums[to++] += weight * padded[from++];
      }
      for (let row = 0; row < 2 * half; row++)
        for (let column = 0; column < 2 * half; column++) {
          const place = (out * half + (row >> 1)) * half + (column >> 1);
          result[place] = Math.max(result[place], sums[row * side + column]);
        }
    }
    return result;
  }

  // The embedding, 64 numbers, of a picture: 28x28 grey levels from 0 to 255.
  function embed(picture, weights) {
    return weights.reduce(block, Float32Array.from(picture, (grey) => grey / 255));
  }

  return { read, embed };
})();
