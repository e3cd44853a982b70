// The weights of a page: numbers of 16 bits one after the other, and a list of their names and shapes.

// The bytes of a base64 text.
export function bytesOf(base64) {
  const text = atob(base64.replace(/\s+/g, ""));
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

// { name: { shape, data: Float32Array } } of entries [{ name, shape }] and their float16 bytes.
export function unpacked(entries, bytes) {
  const halves = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), weights = {};
  let at = 0;
  for (const { name, shape } of entries) {
    const data = new Float32Array(shape.reduce((size, length) => size * length, 1));
    for (let i = 0; i < data.length; i++, at += 2) data[i] = single(halves.getUint16(at, true));
    weights[name] = { shape, data };
  }
  return weights;
}

// The value of a number of 16 bits: sign, 5 bits of exponent, 10 of fraction.
function single(half) {
  const sign = half & 0x8000 ? -1 : 1, exponent = (half >> 10) & 31, fraction = half & 1023;
  if (exponent === 0) return sign * 2 ** -24 * fraction;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * 2 ** (exponent - 15) * (1 + fraction / 1024);
}
