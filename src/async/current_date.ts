let date = new Date(0);
let time = 0;

/**
 * The time. Who asks within one millisecond is given the same object: a `Date` for
 * each event made short runs take a sixth longer.
 */
export function currentDate(): Date {
  const now = Date.now();
  if (now !== time) {
    time = now;
    date = new Date(now);
  }
  return date;
}
