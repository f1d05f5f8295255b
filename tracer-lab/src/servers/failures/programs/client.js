// Walkers with Node's http.Agent, its fetch, or axios, alone or with agentkeepalive: each asks again and again on a connection of its own.
// node client.js agent|fetch|axios|agentkeepalive PLAN, where PLAN is JSON. Prints a line of JSON for each request that failed.
const { setTimeout: pause } = require('node:timers/promises');
const [, , library, words] = process.argv;
const plan = JSON.parse(words);
const http = require(plan.tls ? 'node:https' : 'node:http');
const [host, port] = plan.server.split(':');

const PIECES = 33;
const PIECE = 'z'.repeat(3000);

const say = (id, error, local) => console.log(JSON.stringify({ id, error, port: local ?? null }));

function withAgent(agent, path, uploads) {
  return new Promise((done) => {
    let local, failed;
    const options = { host, port, path, agent, method: uploads ? 'POST' : 'GET', timeout: plan.patience };
    options.rejectUnauthorized = false;
    if (uploads) options.headers = { 'Content-Length': PIECES * PIECE.length };
    const request = http.request(options);
    const end = (error) => { failed = true; done({ error, local }); };
    request.on('socket', (socket) => {
      local = socket.localPort;
      socket.once('connect', () => (local = socket.localPort));
    });
    request.on('timeout', () => request.destroy(new Error('timed out')));
    request.on('error', (error) => end(`${error.code ?? ''} ${error.message}`));
    request.on('response', (response) => {
      response.on('error', (error) => end(`${error.code ?? ''} ${error.message} in the response`));
      response.resume().on('end', () => done({ status: response.statusCode, local }));
    });
    if (!uploads) return request.end();
    (async () => {
      for (let piece = 0; piece < PIECES && !failed; piece++) { request.write(PIECE); await pause(10); }
      request.end();
    })();
  });
}

// The pools behind fetch: undici's, which Node does not export. It makes the first one when it is asked for anything.
const Pools = () => void fetch('data:,') ?? globalThis[Symbol.for('undici.globalDispatcher.1')].constructor;

async function withFetch(dispatcher, path) {
  try {
    const signal = AbortSignal.timeout(plan.patience);
    const response = await fetch(`http://${plan.server}${path}`, { dispatcher, signal });
    await response.text();
    return { status: response.status };
  } catch (error) {
    return { error: `${error.cause?.code ?? error.name} ${error.cause?.message ?? error.message}` };
  }
}

// With the same agent as Node's own client, or with one that heeds the server's hint.
async function withAxios(agent, path) {
  try {
    const options = { httpAgent: agent, timeout: plan.patience, validateStatus: null };
    const { status } = await require('axios').get(`http://${plan.server}${path}`, options);
    return { status };
  } catch (error) {
    return { error: `${error.code ?? ''} ${error.message}` };
  }
}

const ask = {
  agent: ({ agent }, path, uploads) => withAgent(agent, path, uploads),
  fetch: ({ pools }, path) => withFetch(pools, path),
  axios: ({ agent }, path) => withAxios(agent, path),
  agentkeepalive: ({ agent }, path) => withAxios(agent, path),
}[library];

function agentFor(closes) {
  if (library === 'agentkeepalive') {
    const { HttpAgent } = require('agentkeepalive');
    return new HttpAgent({ maxSockets: 1, freeSocketTimeout: closes ?? 60_000 });
  }
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1, timeout: closes });
  // The server's own hint would keep the agent from trying what is tried here.
  agent.keepSocketAlive = (socket) => socket.setTimeout(closes ?? 0);
  return agent;
}

async function walk(walker) {
  await pause(walker * plan.stagger);
  const { closes } = plan.remedy ?? {};
  const agent = agentFor(closes);
  const keeps = { keepAliveTimeout: closes ?? 60_000, keepAliveMaxTimeout: closes ?? 600_000 };
  const pools = library === 'fetch' && new (Pools())({ ...keeps, connections: 1, connect: { timeout: plan.patience } });
  for (let round = 0; round < plan.rounds; round++) {
    const id = plan.first + walker * plan.rounds + round;
    const action = plan.actions[round % plan.actions.length];
    const path = `/w${walker}/x${id}/${action}`;
    const uploads = action.startsWith('upload');
    const { error, local, status } = await ask({ agent, pools }, path, uploads);
    if (error) say(id, error, local);
    else if (status === 413) console.log(JSON.stringify({ id, refused: true, port: local ?? null }));
    await pause(plan.from + Math.random() * (plan.to - plan.from));
  }
  agent.destroy();
}

Promise.all(Array.from({ length: plan.walkers }, (_, walker) => walk(walker))).then(() => process.exit());
