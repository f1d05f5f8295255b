// A server with a short keep-alive timeout: 500 ms, to which newer releases of Node add a second (20.20 does, 18.20
// not).
const http = require('node:http');

const server = http.createServer((request, response) => {
  // Naming the header by hand keeps Node from announcing the timeout, which its own client would heed.
  response.setHeader('Connection', 'keep-alive').end('OK');
});
server.keepAliveTimeout = 500;
server.listen(8000, '127.0.0.1');
