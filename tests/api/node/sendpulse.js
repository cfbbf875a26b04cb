// Drives the published package `sendpulse-api` against a server of ours.
//
//   node sendpulse.js PORT CLIENT_ID CLIENT_SECRET FOLDER
//
// Reads calls [path, method, data] from stdin, one JSON array a line, and prints each answer as a
// line of JSON.  The package knows one host and https only, so its requests are led to loopback.
'use strict';

const http = require('http');
const https = require('https');
const readline = require('readline');

const [port, user, secret, folder] = process.argv.slice(2);

https.request = (options, answered) =>
    http.request({ ...options, hostname: '127.0.0.1', port }, answered);

const sendpulse = require('sendpulse-api');

const started = (token) => {
    console.log(JSON.stringify(token));
    const lines = readline.createInterface({ input: process.stdin });
    lines.on('line', (line) => {
        const [path, method, data] = JSON.parse(line);
        const answered = (answer) => console.log(JSON.stringify(answer));
        sendpulse.sendRequest(path, method, data, answered);
    });
};

sendpulse.init(user, secret, folder, started);
