'use strict';
// SAP's rule of CSRF tokens, its gateway's memory of requests (off by default, as in SAP), faults and the loss of answers, which CAP does not have. POST /control?client=C says what happens next to the
// writes of a sap-client; each test has one of its own. Below /plain the V4 services take writes without a token, as another maker's do.
const cds = require('@sap/cds');
const { parse } = require('@sap-ux/edmx-parser');
const crypto = require('node:crypto');

const sessions = new Map(); // by cookie: its token and client
const clients = new Map(); // by number: the fault that its next write meets, and its attempts by message

const cookieOf = (req) => /(?:^|;\s*)SAP_SESSIONID_CAP_100=([^;]+)/.exec(req.headers.cookie || '')?.[1];
const queryOf = (req) => new URL(req.url, 'http://x').searchParams;
const clientOf = (req) => queryOf(req).get('sap-client') || req.headers['sap-client'] || '';
const clientNamed = (name) => clients.get(name) || clients.set(name, { drop: 0, fault: null, replay: null, attempts: {} }).get(name);

function control(req, res) {
  const what = queryOf(req);
  const name = what.get('client') || '';
  const client = clientNamed(name);
  if (req.method === 'GET') {
    res.setHeader('content-type', 'application/json');
    return res.end(JSON.stringify(client.attempts));
  }
  if (what.has('expire')) sessions.forEach((s, cookie) => s.client === name && sessions.delete(cookie));
  if (what.has('drop-after')) client.drop = Number(what.get('drop-after'));
  if (what.has('replay')) client.replay = what.get('replay') === 'on' ? new Map() : null;
  if (what.has('fault')) client.fault = what.get('fault') ? Object.fromEntries(what) : null;
  res.statusCode = 204;
  return res.end();
}

// reread answers an EDMX document with what SAP's own parser finds in it: of each entity set its key, its fields with type, length and whether
// they may be null, and its links.
function reread(req, res) {
  const parts = [];
  req.on('data', (part) => parts.push(part));
  req.on('end', () => {
    try {
      res.setHeader('content-type', 'application/json');
      res.end(JSON.stringify(setsOf(parse(Buffer.concat(parts).toString(), 'document').schema)));
    } catch (err) {
      res.statusCode = 400;
      res.end(String(err));
    }
  });
}

function setsOf(schema) {
  const named = (list) => list.map((one) => one.name);
  return Object.fromEntries(schema.entitySets.map((set) => {
    const of = schema.entityTypes.find((type) => type.fullyQualifiedName === set.entityTypeName);
    const fields = of.entityProperties.map((f) => [f.name, { type: f.type, length: f.maxLength || 0, null: f.nullable !== false }]);
    return [set.name, { key: named(of.keys), fields: Object.fromEntries(fields), links: named(of.navigationProperties).sort() }];
  }));
}

// answer gives what a fault has instead of an answer.
function answer(res, fault) {
  const { socket } = res;
  switch (fault.fault) {
    case 'reset': return socket.resetAndDestroy();
    case 'half': return socket.end(`HTTP/1.1 201 X\r\nContent-Type: application/json\r\nContent-Length: 4000\r\n\r\n{"d":{"Confir`);
    case 'status': {
      const body = fault.body || '<html>no</html>';
      const after = fault['retry-after'] ? `Retry-After: ${fault['retry-after']}\r\n` : '';
      const to = fault.location ? `Location: ${fault.location}\r\n` : '';
      const type = fault.body ? 'application/json' : 'text/html';
      return socket.end(`HTTP/1.1 ${fault.status || 201} X\r\nContent-Type: ${type}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${after}${to}Connection: close\r\n\r\n${body}`);
    }
    default: return socket.destroy();
  }
}

// swallow lets a request have its effect, and then says something else.
function swallow(res, fault) {
  res.write = () => true;
  res.writeHead = (status) => { res.statusCode = status; return res; };
  res.end = () => { answer(res, fault); return res; };
}

// remember keeps the answer to a request that took effect, for whoever sends it again.
function remember(res, answers, request) {
  const { write, end } = res;
  const parts = [];
  const keep = (chunk) => { if (chunk && typeof chunk !== 'function') parts.push(Buffer.from(chunk)); };
  res.write = (chunk, ...rest) => { keep(chunk); return write.call(res, chunk, ...rest); };
  res.end = (chunk, ...rest) => {
    keep(chunk);
    if (res.statusCode < 300) answers.set(request, { status: res.statusCode, headers: res.getHeaders(), body: Buffer.concat(parts) });
    return end.call(res, chunk, ...rest);
  };
}

// replay gives the answer that a request got before.
function replay(req, res, known) {
  req.resume();
  req.on('end', () => {
    res.statusCode = known.status;
    Object.entries(known.headers).forEach(([name, value]) => res.setHeader(name, value));
    res.setHeader('RepeatabilityResult', 'accepted');
    res.end(known.body);
  });
}

function trusted(req, res) {
  const reads = req.method === 'GET' || req.method === 'HEAD';
  let cookie = cookieOf(req);
  if (reads && /^fetch$/i.test(req.headers['x-csrf-token'] || '')) {
    if (!sessions.has(cookie)) {
      cookie = crypto.randomUUID();
      sessions.set(cookie, { token: crypto.randomUUID(), client: clientOf(req) });
      res.setHeader('set-cookie', `SAP_SESSIONID_CAP_100=${cookie}; path=/; HttpOnly`);
    }
    res.setHeader('x-csrf-token', sessions.get(cookie).token);
  }
  return reads || sessions.get(cookie)?.token === req.headers['x-csrf-token'];
}

// outer tells whether a request came from outside: the V2 adapter calls the V4 service for each of its own.
const outer = (req) => req.headers['x-cap-inner'] === undefined;

function sap(req, res, next) {
  if (req.url === '/control/edmx') return reread(req, res);
  if (req.url.startsWith('/control')) return control(req, res);
  if (!outer(req)) return next();
  const plain = req.url.startsWith('/plain/');
  if (plain) {
    req.url = req.url.slice('/plain'.length);
    req.originalUrl = req.url;
  } else if (!trusted(req, res)) {
    res.statusCode = 403;
    res.setHeader('x-csrf-token', 'Required');
    return res.end('CSRF token validation failed');
  }
  req.headers['x-cap-inner'] = 'yes';
  if (req.method === 'GET' || req.method === 'HEAD') return next();
  const client = clientNamed(clientOf(req));
  const id = (req.headers.requestid || '').replaceAll('-', '').toUpperCase();
  client.attempts[id] = (client.attempts[id] || 0) + 1;
  let { fault } = client;
  client.fault = null;
  if (client.drop > 0) {
    client.drop -= 1;
    fault = { fault: 'close', phase: 'after' };
  }
  if (fault && fault.phase !== 'after') {
    req.resume();
    req.on('end', () => answer(res, fault));
    return undefined;
  }
  if (fault) swallow(res, fault);
  const request = `${id} ${req.headers.repeatabilitycreation}`;
  const known = client.replay?.get(request);
  if (known) return replay(req, res, known);
  if (client.replay && id) remember(res, client.replay, request);
  return next();
}

cds.on('bootstrap', (app) => {
  const { listen } = app;
  app.listen = (port, ...rest) => listen.call(app, port, '127.0.0.1', ...rest); // and on no other address
  app.use(sap);
});
module.exports = cds.server;
