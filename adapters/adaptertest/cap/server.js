'use strict';
// SAP's rule of CSRF tokens, faults and the loss of answers, which CAP does not have. POST /control sets what happens next.
const cds = require('@sap/cds');
const crypto = require('node:crypto');

const sessions = new Map();
let dropAfter = 0;

const cookieOf = (req) => /(?:^|;\s*)SAP_SESSIONID_CAP_100=([^;]+)/.exec(req.headers.cookie || '')?.[1];

function control(req, res) {
  const what = new URL(req.url, 'http://x').searchParams;
  if (what.has('expire')) sessions.clear();
  if (what.has('drop-after')) dropAfter = Number(what.get('drop-after'));
  res.statusCode = 204;
  res.end();
}

function sap(req, res, next) {
  if (req.url.startsWith('/control')) return control(req, res);
  const reads = req.method === 'GET' || req.method === 'HEAD';
  let session = cookieOf(req);
  if (reads && /^fetch$/i.test(req.headers['x-csrf-token'] || '')) {
    if (!sessions.has(session)) {
      session = crypto.randomUUID();
      sessions.set(session, crypto.randomUUID());
      res.setHeader('set-cookie', `SAP_SESSIONID_CAP_100=${session}; path=/; HttpOnly`);
    }
    res.setHeader('x-csrf-token', sessions.get(session));
  } else if (!reads && (!sessions.has(session) || sessions.get(session) !== req.headers['x-csrf-token'])) {
    res.statusCode = 403;
    res.setHeader('x-csrf-token', 'Required');
    return res.end('CSRF token validation failed');
  }
  if (!reads && dropAfter > 0) {
    dropAfter -= 1;
    const { socket } = res;
    res.write = () => true;
    res.end = () => { socket.destroy(); return res; };
  }
  return next();
}

cds.on('bootstrap', (app) => {
  const { listen } = app;
  app.listen = (port, ...rest) => listen.call(app, port, '127.0.0.1', ...rest); // and on no other address
  app.use(sap);
});
module.exports = cds.server;
