/** The first interval of cursors begins here: §10.1 of the protocol. */
const EPOCH = Date.UTC(2024, 9, 9);
/** How long an interval is, in milliseconds. */
const INTERVAL = 20_000;
/** How many intervals an early client is sent ahead at most: 3,600 s. */
const MAX_JITTER = 180;

const CURSOR = /^\d{1,15}$/;

/**
 * The `Stream-Cursor` of a response: the number of the present interval. A client that
 * has this one already gets a later one, so that its next request is another for caches.
 *
 * @param cursor The client's; one that is no number is ignored.
 */
export function nextCursor(cursor: string | null): string {
  const present = Math.floor((Date.now() - EPOCH) / INTERVAL);
  const known = cursor !== null && CURSOR.test(cursor) ? Number(cursor) : -1;
  if (known < present) return String(present);
  return String(known + 1 + Math.floor(Math.random() * MAX_JITTER));
}
