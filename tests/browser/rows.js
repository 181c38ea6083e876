// Rows of a timeline that nobody took, the same each time.

/** A table of so many photos, the same each time. */
export function told(count, perMonth = 417) {
  let seed = 11;
  const random = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) / 0x7fffffff;
  const months = [];
  let left = count;
  for (let at = 0; left > 0; at += 1) {
    const year = 2026 - Math.floor(at / 12);
    const photos = Math.min(left, Math.max(1, Math.floor(random() * 2 * perMonth)));
    const days = [];
    for (let day = 28, rest = photos; rest > 0; day -= 1) {
      const some = day === 1 ? rest : Math.min(rest, Math.ceil(random() * (photos / 8)));
      days.push([day, some]);
      rest -= some;
    }
    const bytes = Uint8Array.from({ length: photos }, () => [147, 141, 115, 109, 128, 190, 60][Math.floor(random() * 7)]);
    months.push({ m: `${year}-${String(12 - (at % 12)).padStart(2, "0")}`, days, r: Buffer.from(bytes).toString("base64") });
    left -= photos;
  }
  return { version: 1, total: count, months };
}
