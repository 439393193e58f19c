// @ts-check
// CRC-32 (IEEE 802.3) of the UTF-8 bytes of a text: the same as Python's zlib.crc32.

const TABLE = new Uint32Array(256);
for (let index = 0; index < 256; index += 1) {
  let value = index;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  TABLE[index] = value >>> 0;
}

const encoder = new TextEncoder();

/** @param {string} text @returns {number} */
export function crc32(text) {
  let value = 0xffffffff;
  for (const byte of encoder.encode(text)) value = /** @type {number} */ (TABLE[(value ^ byte) & 0xff]) ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}
