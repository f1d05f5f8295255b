// An HTTP server that fails as the last part of the path says, and prints each path that it took.
// node broken.js ADDRESS PORT KEEP_ALIVE_MS [DIRECTORY], where the directory has a certificate
const fs = require('fs');
const [, , address, port, keeps, files] = process.argv;

// Node resets no TLS connection, but the one beneath.
const reset = (socket) => files ? socket._handle._parent.reset(() => socket.destroy()) : socket.resetAndDestroy();

// So much of an upload is read before it is cut off.
const CUT_AFTER = 50_000;

const failures = {
  destroy: (request) => request.socket.destroy(),
  reset: (request) => reset(request.socket),
  cut: (request, response) => {
    response.setHeader('Content-Length', 20_000).write('.'.repeat(10_000), () => reset(request.socket));
  },
  hang: () => {},
  half: (request, response) => setTimeout(() => response.end('ok\n'), 100),
  'upload-413': (request, response) => response.writeHead(413, { Connection: 'close' }).end('too large\n'),
  'upload-cut': (request) => {
    let got = 0;
    request.on('data', (bytes) => (got += bytes.length) > CUT_AFTER && request.socket.destroy());
  },
};

const answer = (request, response) => {
  console.log(request.url);
  const fail = failures[request.url.split('/').pop()];
  fail ? fail(request, response) : response.end('ok\n');
};

const tls = () => ({ cert: fs.readFileSync(`${files}/cert.pem`), key: fs.readFileSync(`${files}/cert.pem.key`) });
const server = files ? require('https').createServer(tls(), answer) : require('http').createServer(answer);
server.keepAliveTimeout = +keeps;
server.listen(+port, address);
