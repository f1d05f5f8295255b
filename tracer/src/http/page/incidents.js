// The recent incidents: a table with filters, and all fields of each when unfolded.

import { CAUSES } from './causes.js';
import { byId, element, keyed, shortened, write } from './dom.js';
import { UNKNOWN, clock, count, seconds, text } from './format.js';

/** Rows shown before somebody asks for all of them. */
const FEW = 50;

/** What ended it, and which way that went, where it did. */
const ending = (incident) => [incident.ended_by, incident.direction].filter(Boolean).join(' ');

const COLUMNS = [
  ['server', 'Server', (incident) => text(incident.server)],
  ['seen', 'Seen as', (incident) => `${text(incident.role)}, ${ending(incident)}`],
  ['read', 'Read', (incident) => (incident.request_read === 'unknown' ? UNKNOWN : text(incident.request_read))],
  ['number', 'Idle', (incident) => seconds(incident.idle_seconds)],
  ['number', 'Request → end', (incident) => seconds(incident.request_to_reset_seconds)],
  ['errno', 'Error', (incident) => text(incident.errno)],
];
const filters = { cause: byId('filter-cause'), server: byId('filter-server'), text: byId('filter-text') };

/** A tracer that was started again counts from 0 again. */
const keyOf = (incident) => JSON.stringify([incident.id, incident.time]);

const words = (name) => text(name).replaceAll('_', ' ');

let made = 0;
/** The time of the latest one that was shown; those after it are new. None are when the page is opened. */
let newest = '~';

/** Two rows: one with the facts, and one that unfolds. */
function row(incident) {
  const id = `incident-${(made += 1)}`;
  const state = { type: 'button', 'aria-expanded': 'false', 'aria-controls': id, title: text(incident.time) };
  const button = element('button', state, clock(incident.time));
  const cause = element('span', { class: 'cause' }, words(incident.cause));
  const race = element('span', { class: 'soft' }, incident.race ? words(incident.race) : '');
  const request = element('div', { class: 'soft request' }, [incident.method, incident.path].filter(Boolean).join(' '));
  cause.dataset.cause = incident.cause;
  const cells = COLUMNS.map(([kind, label]) => element('td', { role: 'cell', class: kind, 'data-label': label }));
  const facts = element('tr', { role: 'row' }, element('td', { role: 'cell', class: 'time' }, button),
    element('td', { role: 'cell', class: 'why' }, cause, ' ', race, request), ...cells);
  const all = element('dl');
  const unfolded = element('tr', { role: 'row', id, class: 'unfolded' },
    element('td', { role: 'cell', colspan: COLUMNS.length + 2 }, element('p', {}, text(incident.explanation)),
      element('p', { class: 'soft' }, CAUSES[incident.cause] ?? ''), all));
  unfolded.hidden = true;
  const node = element('tbody', { role: 'rowgroup', class: incident.time > newest ? 'new' : '' }, facts, unfolded);

  const fields = keyed(all, ([name]) => name, ([name]) => {
    const value = element('dd');
    const update = ([, now]) => write(value, text(now));
    return { node: element('div', {}, element('dt', {}, name), value), update };
  });
  const showFields = () => {
    if (!unfolded.hidden) fields(Object.entries(incident).filter(([name]) => name !== 'explanation'));
  };
  const unfold = () => {
    unfolded.hidden = !unfolded.hidden;
    button.setAttribute('aria-expanded', String(!unfolded.hidden));
    showFields();
  };
  facts.addEventListener('click', (event) => {
    // Whoever selects text in a row does not want it unfolded.
    if (event.target === button || getSelection().isCollapsed) unfold();
  });
  const update = (now) => {
    incident = now;
    COLUMNS.forEach(([, , value], at) => write(cells[at], value(now)));
    showFields();
  };
  const inUse = () => !unfolded.hidden || node.contains(document.activeElement);
  return { node, update, inUse, incident: () => incident };
}

const matches = (incident) =>
  (!filters.cause.value || incident.cause === filters.cause.value)
  && (!filters.server.value || incident.server === filters.server.value)
  && Object.values(incident).join(' ').toLowerCase().includes(filters.text.value.trim().toLowerCase());

const inUse = (view) => view.inUse() && matches(view.incident());
const rows = shortened(byId('incidents-more'), FEW, keyed(byId('incidents'), keyOf, row, inUse));

const option = (value) => ({ node: element('option', { value }, value), update() {} });
const choices = {
  cause: keyed(filters.cause, (value) => value, option),
  server: keyed(filters.server, (value) => value, option),
};

let last = [];
byId('filter').addEventListener('input', () => showIncidents(last));
byId('filter').addEventListener('submit', (event) => event.preventDefault());

/** Shows those of the incidents, newest first, that the filters let through. */
export function showIncidents(list) {
  last = list;
  for (const [field, show] of Object.entries(choices)) {
    const there = [...list.map((incident) => incident[field]), filters[field].value];
    show([...new Set(there)].filter(Boolean).sort());
  }
  const shown = list.filter(matches);
  rows(shown);
  newest = list[0]?.time ?? '';
  byId('incidents-empty').hidden = list.length > 0;
  byId('incidents-some').hidden = list.length === 0;
  const all = count(list.length, 'incident');
  write(byId('filter-count'), shown.length === list.length ? all : `${shown.length.toLocaleString('en')} of ${all}`);
}
