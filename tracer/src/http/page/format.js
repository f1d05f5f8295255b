// Numbers and times as people read them. What is not known is a dash, never a zero.

export const UNKNOWN = '–';

/** Any value as text. */
export const text = (value) => (value === null || value === undefined ? UNKNOWN : String(value));

/** A duration, given in seconds. */
export function seconds(value) {
  if (typeof value !== 'number') return text(value);
  const sign = value < 0 ? '−' : '';
  const size = Math.abs(value);
  if (size < 0.9995) return `${sign}${Math.round(size * 1000)} ms`;
  return `${sign}${size.toFixed(size < 9.995 ? 2 : size < 99.95 ? 1 : 0)} s`;
}

/** A number of things. */
export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString('en')} ${number === 1 ? one : many}`;
}

const CLOCK = new Intl.DateTimeFormat('en-GB', {
  hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3,
});
const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });

/** The local time of day, with the day unless it is today. */
export function clock(time) {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return text(time);
  const today = date.toDateString() === new Date().toDateString();
  return today ? CLOCK.format(date) : `${DAY.format(date)} ${CLOCK.format(date)}`;
}

/** How long ago a time in milliseconds was. */
export function age(time) {
  const past = Math.max(0, Math.round((Date.now() - time) / 1000));
  if (!Number.isFinite(past)) return UNKNOWN;
  if (past < 120) return `${past} s`;
  return past < 7200 ? `${Math.round(past / 60)} min` : `${Math.round(past / 3600)} h`;
}

const PLACES = { client: 'this host is its client', server: 'on this host' };

/** Where a server is, as seen from this host. A loopback address says little without its network namespace. */
export function place({ role, netns }) {
  const where = PLACES[role] ?? text(role);
  return typeof netns === 'number' ? `${where}, network namespace ${netns}` : where;
}
