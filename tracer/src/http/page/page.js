// The live page: asks the tracer every two seconds and shows what it says.

import { showAdvice } from './advice.js';
import { byId, write } from './dom.js';
import { age, clock, count } from './format.js';
import { showIncidents } from './incidents.js';
import { showServers } from './servers.js';

/** Milliseconds between two rounds, and until one is given up. */
const [EVERY, PATIENCE] = [2000, 5000];

let timer;
let asking = false;
let paused = false;
let updated;
let lost = true;

function get(path) {
  return fetch(path, { cache: 'no-store', signal: AbortSignal.timeout(PATIENCE) }).catch(() => {
    throw new Error('The tracer cannot be reached.');
  });
}

async function ask(path) {
  const answer = await get(path);
  if (!answer.ok) throw new Error(`The tracer answers ${answer.status} to ${path}.`);
  return answer.json();
}

/** One round; the next one starts only after it. Nothing is asked while nobody looks. */
async function round() {
  clearTimeout(timer);
  if (asking || paused || document.hidden) return;
  asking = true;
  try {
    const all = await Promise.all(['api/v1/advice?limit=50', 'api/v1/servers', 'api/v1/incidents?limit=200'].map(ask));
    [showAdvice, showServers, showIncidents].forEach((show, at) => show(all[at]));
    updated = Date.now();
    // The probes are attached at the start, or not at all.
    if (lost) await readiness();
    lost = false;
    byId('lost').hidden = true;
  } catch (error) {
    complain(error);
  }
  asking = false;
  tell();
  timer = setTimeout(round, EVERY);
}

async function readiness() {
  const answer = await get('-/ready');
  const missing = answer.ok ? '' : (await answer.text()).trim();
  const health = byId('health');
  health.dataset.health = answer.ok ? 'ready' : 'missing';
  write(health, answer.ok ? 'ready' : `${count(missing.split('\n').length, 'probe')} missing`);
  byId('missing').hidden = answer.ok;
  write(byId('missing'), missing);
}

/** What was shown last stays; a sentence says since when nothing is new. */
function complain(error) {
  const since = updated ? ` Everything below is as of ${clock(updated)}.` : '';
  byId('lost').hidden = false;
  write(byId('lost'), error.message + since);
  byId('health').dataset.health = 'lost';
  write(byId('health'), 'out of date');
  lost = true;
}

/** How old the page is. */
function tell() {
  const old = updated ? `updated ${age(updated)} ago` : '';
  write(byId('updated'), paused ? `paused, ${old}` : old);
}

byId('pause').addEventListener('click', () => {
  paused = !paused;
  write(byId('pause'), paused ? 'Resume' : 'Pause');
  tell();
  round();
});
document.addEventListener('visibilitychange', round);
setInterval(tell, 1000);
round();
