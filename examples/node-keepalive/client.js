// Clients whose pause between requests walks across the moment at which the server closes, a millisecond at a time.
const { once } = require('node:events');
const http = require('node:http');
const net = require('node:net');
const { setTimeout: pause } = require('node:timers/promises');

const SERVER = { host: '127.0.0.1', port: 8000 };
const SAMPLES = 9;
const CLIENTS = 200;
// Milliseconds from the close to the next request.
const [FROM, TO] = [5, -5];

const outcomes = {};

// How long the server keeps an idle connection: its setting does not tell, as some releases of Node add a second.
async function measure() {
  const socket = net.connect(SERVER.port, SERVER.host);
  socket.write(`GET / HTTP/1.1\r\nHost: ${SERVER.host}\r\n\r\n`);
  await once(socket, 'data');
  const idle = performance.now();
  await once(socket, 'close');
  return performance.now() - idle;
}

async function median() {
  const samples = await Promise.all(Array.from({ length: SAMPLES }, (_, index) => pause(index * 50).then(measure)));
  return Math.round(samples.sort((a, b) => a - b)[(SAMPLES - 1) / 2]);
}

function request(agent) {
  return new Promise((resolve) => {
    const sent = http.get({ ...SERVER, agent }, (response) => {
      response.resume();
      response.on('end', () => resolve(`${response.statusCode}`));
    });
    sent.on('error', (error) => resolve(error.code));
  });
}

async function walk(start, timeout) {
  await pause(start);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  for (let late = FROM; late >= TO; late -= 1) {
    const outcome = await request(agent);
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    await pause(timeout + late);
  }
}

async function main() {
  const timeout = await median();
  console.log(`Node ${process.version}: the server closes a connection that idled for ${timeout} ms`);
  await Promise.all(Array.from({ length: CLIENTS }, (_, index) => walk(index * 7, timeout)));
  console.log(outcomes);
}

main();
