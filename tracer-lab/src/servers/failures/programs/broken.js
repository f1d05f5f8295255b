// An HTTP server that fails as the last part of the path says, and prints each path that it took.
// node broken.js ADDRESS PORT KEEP_ALIVE_MS
const [, , address, port, keeps] = process.argv;

// So much of an upload is read before it is cut off.
const CUT_AFTER = 50_000;

const failures = {
  destroy: (request) => request.socket.destroy(),
  reset: (request) => request.socket.resetAndDestroy(),
  cut: (request, response) => {
    const reset = () => request.socket.resetAndDestroy();
    response.setHeader('Content-Length', 20_000).write('.'.repeat(10_000), reset);
  },
  hang: () => {},
  half: (request, response) => setTimeout(() => response.end('ok\n'), 100),
  'upload-413': (request, response) => response.writeHead(413, { Connection: 'close' }).end('too large\n'),
  'upload-cut': (request) => {
    let got = 0;
    request.on('data', (bytes) => (got += bytes.length) > CUT_AFTER && request.socket.destroy());
  },
};

const server = require('http').createServer((request, response) => {
  console.log(request.url);
  const fail = failures[request.url.split('/').pop()];
  fail ? fail(request, response) : response.end('ok\n');
});
server.keepAliveTimeout = +keeps;
server.listen(+port, address);
