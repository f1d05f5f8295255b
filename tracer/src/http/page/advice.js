// The advice: what to set to what, and what was seen that says so.

import { byId, element, keyed, shortened, write } from './dom.js';
import { age, count, place, seconds, text } from './format.js';

/** Cards shown before somebody asks for all of them. */
const FEW = 5;

const KINDS = {
  __proto__: null,
  server_closes_first: 'the server closes idle connections first',
  thin_margin: 'both sides close at nearly the same age',
  request_limit: 'the server closes after a number of requests',
  path_forgets: 'something on the way forgets idle connections',
};
const SIDES = {
  client: ['Let the client close first', 'client_timeout_seconds', 'after'],
  server: ['Let the server wait longer', 'server_timeout_seconds', 'at least'],
};
const EVIDENCE = {
  'Server closes after': (seen) => timeout(seen.server_timeout_seconds, seen.server_timeout_samples, seen.server_timeout_upper_seconds),
  'Client closes after': (seen) => timeout(seen.client_timeout_seconds, seen.client_timeout_samples),
  'Idle closes by server, client': (seen) => `${text(seen.idle_closes_by_server)}, ${text(seen.idle_closes_by_client)}`,
  'Requests lost': (seen) => text(seen.races),
  'Requests per connection': (seen) => seen.requests_per_connection,
  'Path forgets after': (seen) => (typeof seen.path_bound_seconds === 'number' ? seconds(seen.path_bound_seconds) : null),
};

const timeout = (value, samples, upper) => {
  if (typeof value !== 'number') return 'not known';
  const range = upper > value ? `${seconds(value)} to ${seconds(upper)}` : seconds(value);
  return `${range} (${count(samples, 'close')})`;
};

const keyOf = (advice) => JSON.stringify([advice.role, advice.server, advice.netns, advice.kind]);

const plain = (sentences) => text(sentences).replaceAll('`', '');

/** What stands between backticks becomes code. */
const withCode = (sentences) =>
  text(sentences).split('`').map((part, at) => (at % 2 ? element('code', {}, part) : part));

function card(advice) {
  const severity = element('span', { class: 'badge' });
  const title = element('h3', {}, element('code', {}, text(advice.server)));
  const kind = element('span', { class: 'soft' }, `${place(advice)}: ${KINDS[advice.kind] ?? text(advice.kind)}`);
  const since = element('span', { class: 'soft since' });
  const says = element('p');
  const evidence = Object.keys(EVIDENCE).map((name) => [name, element('dd')]);
  const facts = element('dl', { class: 'facts' });
  for (const [name, value] of evidence) facts.append(element('div', {}, element('dt', {}, name), value));
  const settings = element('div', { class: 'settings' });
  const head = element('div', { class: 'head' }, severity, title, kind, since);
  const node = element('article', {}, head, says, facts, settings);
  let suggested = '';
  const update = (advice) => {
    node.dataset.severity = advice.severity;
    write(severity, text(advice.severity));
    if (says.textContent !== plain(advice.text)) says.replaceChildren(...withCode(advice.text));
    write(since, `for ${age(Date.parse(advice.since))}`);
    for (const [name, value] of evidence) {
      const now = EVIDENCE[name](advice.evidence);
      write(value, text(now));
      value.parentNode.hidden = now === null;
    }
    const now = JSON.stringify(advice.suggested);
    if (now !== suggested) settings.replaceChildren(...suggestions(advice.suggested));
    suggested = now;
  };
  return { node, update };
}

/** For each side, what to set: for the software that is likely there at once, for others when unfolded. */
function suggestions(suggested) {
  const likely = (setting) => (setting.likely ? 0 : 1);
  const settings = [...(suggested?.settings ?? [])].sort((one, other) => likely(one) - likely(other));
  return Object.entries(SIDES).flatMap(([side, [title, field, how]]) => {
    const here = settings.filter((setting) => setting.side === side);
    if (here.length === 0) return [];
    const [sure, others] = [here.filter((one) => one.likely), here.filter((one) => !one.likely)];
    const value = suggested[field];
    const block = element('div', {}, element('h4', {}, title, typeof value === 'number' ? `: ${how} ${value} s` : ''));
    if (sure.length) block.append(element('ul', {}, ...sure.map(line)));
    if (others.length) {
      const names = others.map((one) => text(one.software)).join(', ');
      block.append(element('details', {}, element('summary', {}, names), element('ul', {}, ...others.map(line))));
    }
    return [block];
  });
}

function line(setting) {
  const code = element('code', { class: 'copy' }, text(setting.setting));
  return element('li', {}, element('span', { class: 'soft' }, text(setting.software)), code);
}

const cards = shortened(byId('advice-more'), FEW, keyed(byId('advice'), keyOf, card));
let known;

/** Shows the advice, and tells those who listen of what is new. */
export function showAdvice(list) {
  cards(list);
  byId('advice-empty').hidden = list.length > 0;
  const fresh = known ? list.filter((advice) => !known.has(keyOf(advice))) : [];
  if (fresh.length) write(byId('news'), `New advice: ${fresh.map((advice) => plain(advice.text)).join(' ')}`);
  known = new Set(list.map(keyOf));
}
