// Connections that end as they should, in ways that look like failures: servers, and clients that fail at any error.
// node shapes.js serve|ask NAME ADDRESS PORT FILES [SECONDS]
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const http2 = require('node:http2');
const crypto = require('node:crypto');
const { once } = require('node:events');
const { setTimeout: pause } = require('node:timers/promises');
const [, , side, name, host, port, files, seconds] = process.argv;

const tls = () => ({ key: fs.readFileSync(`${files}/cert.pem.key`), cert: fs.readFileSync(`${files}/cert.pem`) });
const answer = (request, response) => response.end('ok\n');
const KEEPS = 1000;
const EVENTS = 5;

const serve = {
  // Closes idle connections; OpenSSL's last word at the client meets a socket that is gone.
  https: () => Object.assign(https.createServer(tls(), answer), { keepAliveTimeout: KEEPS }),
  http: () => Object.assign(http.createServer(answer), { keepAliveTimeout: KEEPS }),
  http2: () => {
    const server = http2.createSecureServer(tls());
    server.on('stream', (stream) => { stream.respond({ ':status': 200 }); stream.end('ok\n'); });
    // GOAWAY, and the end.
    server.on('session', (session) => session.setTimeout(KEEPS, () => session.close()));
    return server;
  },
  websocket: () => {
    const server = http.createServer(answer);
    server.on('upgrade', (request, socket) => {
      const key = request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
      const accept = crypto.createHash('sha1').update(key).digest('base64');
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        `Sec-WebSocket-Accept: ${accept}\r\n\r\n`);
      // An echo, and the answer to a close frame, behind which the server closes.
      socket.on('data', (frame) => {
        const closes = (frame[0] & 15) === 8;
        socket.write(closes ? Buffer.from([0x88, 0]) : Buffer.from([0x81, 2, 0x6f, 0x6b]));
        if (closes) socket.end();
      });
      socket.on('error', () => {});
    });
    return server;
  },
  // A stream of events that the server ends.
  events: () => http.createServer(async (request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream', Connection: 'close' });
    for (let event = 0; event < EVENTS; event++) { response.write(`data: ${event}\n\n`); await pause(200); }
    response.end();
  }),
};

const get = (library, agent) => new Promise((done, failed) => {
  const request = library.get({ host, port, agent, rejectUnauthorized: false }, (response) =>
    response.resume().on('end', done).on('error', failed));
  request.on('error', failed);
});

// One request, and then the server closes the connection.
async function kept(library) {
  const agent = new library.Agent({ keepAlive: true });
  agent.keepSocketAlive = () => true;
  await get(library, agent);
  await pause(2 * KEEPS + 1200);
  agent.destroy();
}

// The client is the first to close.
async function pooled(library) {
  const agent = new library.Agent({ keepAlive: true });
  for (let request = 0; request < 3; request++) { await get(library, agent); await pause(100); }
  agent.destroy();
  await pause(100);
}

const frame = (opcode, text) => {
  const payload = Buffer.from(text), mask = crypto.randomBytes(4);
  return Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | payload.length]), mask,
    payload.map((byte, at) => byte ^ mask[at % 4])]);
};

const ask = {
  https: () => kept(https),
  'https-pooled': () => pooled(https),
  http: () => pooled(http),
  http2: async () => {
    const session = http2.connect(`https://${host}:${port}`, { rejectUnauthorized: false });
    // On a busy machine the pause may last until the server says GOAWAY, which may cross a request: refused, not lost.
    for (let request = 0; request < 3 && !session.closed; request++) {
      const stream = session.request({ ':path': '/' });
      stream.resume();
      try { await once(stream, 'end'); } catch (error) { if (stream.rstCode !== http2.constants.NGHTTP2_REFUSED_STREAM) throw error; }
      await pause(50);
    }
    if (Math.random() < 0.5) session.close();
    await once(session, 'close');
  },
  websocket: async () => {
    const key = crypto.randomBytes(16).toString('base64');
    const headers = { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Key': key, 'Sec-WebSocket-Version': 13 };
    const request = http.get({ host, port, headers, agent: false });
    const [, socket] = await once(request, 'upgrade');
    for (let message = 0; message < 3; message++) {
      socket.write(frame(1, 'hello'));
      await once(socket, 'data');
      await pause(Math.random() * 400);
    }
    socket.write(frame(8, ''));
    await once(socket, 'end');
    socket.end();
  },
  events: () => get(http, false),
};

async function main() {
  if (side === 'serve') return serve[name]().listen(+port, host);
  const ends = Date.now() + seconds * 1000;
  let rounds = 0;
  for (; Date.now() < ends; rounds++) await ask[name]();
  console.log(rounds);
  process.exit();
}
main().catch((error) => { console.error(error); process.exit(1); });
