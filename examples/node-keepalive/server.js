// An express server with a short keep-alive timeout: 500 ms, plus the second that Node adds on its own.
const express = require('express');

const app = express();
// Naming the header by hand keeps Node from announcing the timeout, which its own client would heed.
app.get('/', (request, response) => response.set('Connection', 'keep-alive').send('OK'));
const server = app.listen(8000, '127.0.0.1');
server.keepAliveTimeout = 500;
