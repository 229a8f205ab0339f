/** Positions in the log: `<epoch>:<offset>`. */

/** Whether an event lies behind a position; what was seen comes twice when a connection was cut. */
export function isNews(cursor: string, position: string | null): boolean {
  if (!position) return true;
  const [epoch, offset] = partsOf(cursor);
  const [epochThere, offsetThere] = partsOf(position);
  return epoch !== epochThere || offset > offsetThere;
}

function partsOf(cursor: string): [string, number] {
  const colon = cursor.lastIndexOf(":");
  return [cursor.slice(0, colon), Number(cursor.slice(colon + 1))];
}
