// Clients whose pause between requests walks across the server's timeout, a millisecond at a time.
const http = require('node:http');
const { setTimeout: pause } = require('node:timers/promises');

const CLIENTS = 200;
const [FROM, TO] = [1505, 1495];

const outcomes = {};

function request(agent) {
  return new Promise((resolve) => {
    const sent = http.get({ host: '127.0.0.1', port: 8000, agent }, (response) => {
      response.resume();
      response.on('end', () => resolve(`${response.statusCode}`));
    });
    sent.on('error', (error) => resolve(error.code));
  });
}

async function walk(start) {
  await pause(start);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  for (let delay = FROM; delay >= TO; delay -= 1) {
    const outcome = await request(agent);
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    await pause(delay);
  }
}

Promise.all(Array.from({ length: CLIENTS }, (_, index) => walk(index * 7))).then(() => console.log(outcomes));
