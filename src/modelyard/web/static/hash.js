// A worker: the SHA-256 of a file, read as a stream. crypto.subtle takes no stream, and browsers offer it over HTTPS only.

const ROUNDS = new Int32Array(64); // the first bits of the fractions of the cube roots of the first 64 primes
const START = new Int32Array(8); // and of the square roots of the first eight
for (let number = 2, count = 0; count < 64; number++) {
  let divisor = 2;
  while (divisor * divisor <= number && number % divisor) divisor++;
  if (divisor * divisor <= number) continue;
  if (count < 8) START[count] = (Math.sqrt(number) % 1) * 2 ** 32;
  ROUNDS[count++] = (Math.cbrt(number) % 1) * 2 ** 32;
}

const words = new Int32Array(64);

/** Add whole blocks of 64 bytes to the state. */
function addBlocks(state, bytes, end) {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  for (let at = 0; at < end; at += 64) {
    for (let i = 0; i < 16; i++) words[i] = view.getInt32(at + 4 * i);
    for (let i = 16; i < 64; i++) {
      const x = words[i - 15], y = words[i - 2];
      const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      words[i] = (words[i - 16] + s0 + words[i - 7] + s1) | 0;
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 64; i++) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const one = (h + s1 + ((e & f) ^ (~e & g)) + ROUNDS[i] + words[i]) | 0;
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const two = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g; g = f; f = e; e = (d + one) | 0; d = c; c = b; b = a; a = (one + two) | 0;
    }
    [a, b, c, d, e, f, g, h].forEach((value, i) => { state[i] += value; });
  }
}

onmessage = async ({ data: file }) => {
  const state = START.slice();
  const reader = file.stream().getReader();
  let rest = new Uint8Array(0);
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.length;
    let bytes = value;
    if (rest.length) {
      bytes = new Uint8Array(rest.length + value.length);
      bytes.set(rest);
      bytes.set(value, rest.length);
    }
    const end = bytes.length - (bytes.length % 64);
    addBlocks(state, bytes, end);
    rest = bytes.slice(end);
    postMessage({ read: length });
  }
  // The end: a one bit, zeros, and the length in bits.
  const last = new Uint8Array(rest.length < 56 ? 64 : 128);
  last.set(rest);
  last[rest.length] = 128;
  new DataView(last.buffer).setBigUint64(last.length - 8, BigInt(length) * 8n);
  addBlocks(state, last, last.length);
  postMessage({ hash: [...state].map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("") });
};
