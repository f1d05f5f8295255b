// Per server: how long connections had idled when one side closed them, and the timeouts that this shows.

import { byId, element, keyed, shortened, write } from './dom.js';
import { count, place, seconds, text } from './format.js';

/** Servers shown before somebody asks for all of them. */
const FEW = 8;
/** Pixels for the highest bar of closes by the server, above the line, and by the client, below it, together. */
const HEIGHT = 76;

const SIDES = ['server', 'client'];
const span = (lower, upper) => (upper > lower ? `${seconds(lower)} to ${seconds(upper)}` : seconds(lower));
const TIMEOUTS = { server: 'keepalive_timeout', client: 'client_timeout' };

/** The buckets, each with its bounds as text. */
function buckets({ bounds, server, client }) {
  return [...bounds, null].map((bound, at) => {
    const lower = at === 0 ? 0 : bounds[at - 1];
    const range = bound === null ? `over ${lower} s` : `${lower} to ${bound} s`;
    return { bound, range, server: Number(server[at]), client: Number(client[at]) };
  });
}

/** Where a time is on the axis, in percent: buckets are equally wide. */
function position(time, bounds) {
  const after = bounds.findIndex((bound) => time <= bound);
  const bucket = after < 0 ? bounds.length : after;
  const lower = bucket === 0 ? 0 : bounds[bucket - 1];
  const within = after < 0 ? 0.5 : (time - lower) / (bounds[bucket] - lower);
  return (100 * (bucket + within)) / (bounds.length + 1);
}

/** The bars, made once; `update` gives them their heights. */
function histogram(bounds) {
  const columns = [...bounds, null].map((bound) => {
    const column = element('div', { class: 'bucket' });
    const bars = SIDES.map((side) => {
      const [number, bar] = [element('span', { class: 'n' }), element('div', { class: 'bar' })];
      const half = element('div', { class: `half ${side}` }, number, bar);
      column.append(half);
      return { number, bar, half };
    });
    column.append(element('span', { class: 'tick' }, bound === null ? '' : String(bound)));
    return { column, bars };
  });
  const marks = SIDES.map((side) => element('div', { class: `mark ${side}` }, element('span')));
  const plot = element('div', { class: 'buckets' }, ...columns.map(({ column }) => column));
  const node = element('div', { class: 'plot', role: 'img' }, plot, ...marks);
  const update = (server, rows) => {
    const most = SIDES.map((side) => Math.max(...rows.map((row) => row[side])));
    const unit = HEIGHT / Math.max(1, most[0] + most[1]);
    const height = (closes) => (closes ? Math.max(2, Math.round(closes * unit)) : 0);
    SIDES.forEach((side, which) => {
      rows.forEach((row, at) => {
        const { number, bar, half } = columns[at].bars[which];
        half.style.height = `${height(most[which]) + 16}px`;
        bar.style.height = `${height(row[side])}px`;
        write(number, row[side] ? String(row[side]) : '');
      });
      const time = server[`${TIMEOUTS[side]}_seconds`];
      const mark = marks[which];
      mark.hidden = typeof time !== 'number';
      node.classList.toggle(`${side}-marked`, !mark.hidden);
      if (mark.hidden) return;
      const left = position(time, bounds);
      mark.style.left = `${left}%`;
      mark.classList.toggle('turned', left > 60);
      write(mark.firstChild, `${side} closes after ${seconds(time)}`);
    });
  };
  return { node, update };
}

/** The same numbers as a table. */
function table() {
  const body = element('tbody');
  const heads = ['idle', 'closed by server', 'closed by client'].map((name) => element('th', { scope: 'col' }, name));
  const node = element('details', {}, element('summary', {}, 'Numbers'),
    element('table', {}, element('thead', {}, element('tr', {}, ...heads)), body));
  const rows = keyed(body, (row) => row.range, (row) => {
    const cells = SIDES.map(() => element('td'));
    const update = (row) => SIDES.forEach((side, at) => write(cells[at], row[side].toLocaleString('en')));
    return { node: element('tr', {}, element('th', { scope: 'row' }, row.range), ...cells), update };
  });
  return { node, update: (all) => rows(all.filter((row) => row.server || row.client)) };
}

function card(server) {
  const found = element('p', { class: 'found' });
  const closes = element('p', { class: 'soft' });
  const races = element('p', { class: 'races' });
  const chart = histogram(server.idle_closes.bounds);
  const numbers = table();
  const title = element('h3', {}, element('code', {}, text(server.server)));
  const role = element('p', { class: 'soft' }, place(server));
  const facts = element('div', { class: 'facts' }, title, role, found, closes, races, numbers.node);
  const node = element('article', {}, facts, chart.node);
  const update = (server) => {
    const rows = buckets(server.idle_closes);
    const [byServer, byClient] = SIDES.map((side) => rows.reduce((sum, row) => sum + row[side], 0));
    const timeouts = SIDES.filter((side) => typeof server[`${TIMEOUTS[side]}_seconds`] === 'number').map((side) =>
      `${side} closes after ${span(server[`${TIMEOUTS[side]}_seconds`], server[`${TIMEOUTS[side]}_upper_seconds`])}`);
    write(found, timeouts.join(', ') || 'no timeout to be seen yet');
    found.classList.toggle('soft', timeouts.length === 0);
    write(closes, `closed by server ${byServer.toLocaleString('en')}, by client ${byClient.toLocaleString('en')}`);
    write(races, server.races ? count(server.races, 'keep-alive race') : '');
    const seen = rows.filter((row) => row.server || row.client)
      .map((row) => `${row.range}: ${row.server} by server, ${row.client} by client`);
    chart.node.setAttribute('aria-label', `Idle closes. ${[...timeouts, ...seen].join('; ')}`);
    chart.update(server, rows);
    numbers.update(rows);
  };
  return { node, update };
}

const keyOf = (server) => JSON.stringify([server.role, server.server, server.netns]);
const cards = shortened(byId('servers-more'), FEW, keyed(byId('servers'), keyOf, card));

/** Shows the servers, in the order in which they are told. */
export function showServers(list) {
  cards(list);
  byId('servers-empty').hidden = list.length > 0;
}
