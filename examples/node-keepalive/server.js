// A server with a short keep-alive timeout: 500 ms, to which newer releases of Node add a second (20.20 does, 18.20
// not). Another one, and another port than 8000, may follow on the command line.
const http = require('node:http');

const server = http.createServer((request, response) => {
  // Naming the header by hand keeps Node from announcing the timeout, which its own client would heed.
  response.setHeader('Connection', 'keep-alive').end('OK');
});
const [, , timeout = '500', port = '8000'] = process.argv;
server.keepAliveTimeout = Number(timeout);
// Below the other one it would end connections as well.
server.headersTimeout = server.keepAliveTimeout + 60_000;
server.listen(Number(port), '127.0.0.1');
