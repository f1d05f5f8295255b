// The recent resets: a table with filters, and all fields of each reset when unfolded.

import { CAUSES } from './causes.js';
import { byId, element, keyed, shortened, write } from './dom.js';
import { clock, count, seconds, text } from './format.js';

/** Rows shown before somebody asks for all of them. */
const FEW = 50;

const COLUMNS = [
  ['server', 'Server', (reset) => text(reset.server)],
  ['seen', 'Seen as', (reset) => `${text(reset.direction)}, ${text(reset.role)}`],
  ['number', 'Idle', (reset) => seconds(reset.idle_seconds)],
  ['number', 'Request → reset', (reset) => seconds(reset.request_to_reset_seconds)],
  ['errno', 'Error', (reset) => text(reset.errno)],
];
const filters = { cause: byId('filter-cause'), server: byId('filter-server'), text: byId('filter-text') };

/** A reset has no number; no two connections between the same ends are reset the same way in one millisecond. */
const keyOf = (reset) => JSON.stringify([reset.time, reset.direction, reset.netns, reset.local, reset.remote]);

const words = (name) => text(name).replaceAll('_', ' ');

let made = 0;
/** The latest reset that was shown; those after it are new. None are when the page is opened. */
let newest = '~';

/** Two rows: one with the facts, and one that unfolds. */
function row(reset) {
  const id = `reset-${(made += 1)}`;
  const state = { type: 'button', 'aria-expanded': 'false', 'aria-controls': id, title: text(reset.time) };
  const button = element('button', state, clock(reset.time));
  const cause = element('span', { class: 'cause' }, words(reset.cause));
  const race = element('span', { class: 'soft' }, reset.race ? words(reset.race) : '');
  const request = element('div', { class: 'soft request' }, [reset.method, reset.path].filter(Boolean).join(' '));
  cause.dataset.cause = reset.cause;
  const cells = COLUMNS.map(([kind, label]) => element('td', { role: 'cell', class: kind, 'data-label': label }));
  const facts = element('tr', { role: 'row' }, element('td', { role: 'cell', class: 'time' }, button),
    element('td', { role: 'cell', class: 'why' }, cause, ' ', race, request), ...cells);
  const all = element('dl');
  const unfolded = element('tr', { role: 'row', id, class: 'unfolded' },
    element('td', { role: 'cell', colspan: COLUMNS.length + 2 }, element('p', {}, CAUSES[reset.cause] ?? ''), all));
  unfolded.hidden = true;
  const node = element('tbody', { role: 'rowgroup', class: reset.time > newest ? 'new' : '' }, facts, unfolded);

  const fields = keyed(all, ([name]) => name, ([name]) => {
    const value = element('dd');
    const update = ([, now]) => write(value, text(now));
    return { node: element('div', {}, element('dt', {}, name), value), update };
  });
  const unfold = () => {
    unfolded.hidden = !unfolded.hidden;
    button.setAttribute('aria-expanded', String(!unfolded.hidden));
    if (!unfolded.hidden) fields(Object.entries(reset));
  };
  facts.addEventListener('click', (event) => {
    // Whoever selects text in a row does not want it unfolded.
    if (event.target === button || getSelection().isCollapsed) unfold();
  });
  const update = (now) => {
    reset = now;
    COLUMNS.forEach(([, , value], at) => write(cells[at], value(now)));
    if (!unfolded.hidden) fields(Object.entries(now));
  };
  const inUse = () => !unfolded.hidden || node.contains(document.activeElement);
  return { node, update, inUse, reset: () => reset };
}

const matches = (reset) =>
  (!filters.cause.value || reset.cause === filters.cause.value)
  && (!filters.server.value || reset.server === filters.server.value)
  && Object.values(reset).join(' ').toLowerCase().includes(filters.text.value.trim().toLowerCase());

const inUse = (view) => view.inUse() && matches(view.reset());
const rows = shortened(byId('resets-more'), FEW, keyed(byId('resets'), keyOf, row, inUse));

const option = (value) => ({ node: element('option', { value }, value), update() {} });
const choices = {
  cause: keyed(filters.cause, (value) => value, option),
  server: keyed(filters.server, (value) => value, option),
};

let last = [];
byId('filter').addEventListener('input', () => showResets(last));
byId('filter').addEventListener('submit', (event) => event.preventDefault());

/** Shows those of the resets, newest first, that the filters let through. */
export function showResets(list) {
  last = list;
  for (const [field, show] of Object.entries(choices)) {
    const there = [...list.map((reset) => reset[field]), filters[field].value];
    show([...new Set(there)].filter(Boolean).sort());
  }
  const shown = list.filter(matches);
  rows(shown);
  newest = list[0]?.time ?? '';
  byId('resets-empty').hidden = list.length > 0;
  byId('resets-some').hidden = list.length === 0;
  const all = count(list.length, 'reset');
  write(byId('filter-count'), shown.length === list.length ? all : `${shown.length.toLocaleString('en')} of ${all}`);
}
