// A provider with people of its own. Its argument is {port, issuer, clients, ahead}; it has a new key each time it is started. Whoever signs in
// chooses on the form whether a second factor was shown.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const { port, issuer, clients, ahead } = JSON.parse(process.argv[2]);

const real = Date.now;
Date.now = () => real() + ahead; // the clock that tokens are made by

const people = {
  anna: { sub: 'sub-anna', preferred_username: 'Anna.Berg@company.example', groups: ['plant-shift-leads', 'canteen'] },
  ben: { sub: 'sub-ben', preferred_username: 'ben', groups: ['plant-erp'] },
  otherben: { sub: 'sub-other-ben', preferred_username: 'ben', groups: ['plant-erp'] },
  cleo: { sub: 'sub-cleo', preferred_username: 'cleo', groups: ['canteen'] },
  many: {
    sub: 'sub-many', preferred_username: 'many', groups: undefined,
    _claim_names: { groups: 'src1' }, _claim_sources: { src1: { endpoint: 'http://graph.invalid/groups' } },
  },
};
const bySub = (sub) => Object.values(people).find((p) => p.sub === sub);

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwk = { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid: randomBytes(6).toString('hex') };

const provider = new Provider(issuer, {
  clients: clients.map((c) => ({ grant_types: ['authorization_code'], response_types: ['code'], id_token_signed_response_alg: 'ES256', ...c })),
  jwks: { keys: [jwk] },
  cookies: { keys: [randomBytes(16).toString('hex')] },
  findAccount: async (_, sub) => ({ accountId: sub, claims: async () => bySub(sub) }),
  claims: { acr: null, amr: null, auth_time: null, iss: null, sid: null, openid: ['sub', 'amr'], profile: ['preferred_username'], groups: ['groups'] },
  conformIdTokenClaims: false,
  acrValues: ['urn:holdfast:mfa', 'urn:holdfast:pwd'],
  interactions: { url: (_, i) => `/interaction/${i.uid}` },
  features: {
    devInteractions: { enabled: false },
    rpInitiatedLogout: { enabled: true, logoutSource: (ctx, form) => { ctx.body = `<!doctype html><title>Leave</title>${form}<button id="leave" form="op.logoutForm" name="logout" value="yes">Leave</button>`; } },
  },
  ttl: { AccessToken: 300, AuthorizationCode: 60, Grant: 3600, IdToken: 300, Interaction: 600, Session: 3600 },
  loadExistingGrant: async (ctx) => {
    const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope('openid profile groups');
    await grant.save();
    return grant;
  },
});

const form = `<!doctype html><title>Company</title><form method="post"><input id="login" name="login">
<select id="factor" name="factor"><option value="otp">with a code</option><option value="none">with the password alone</option></select>
<button id="go">Go</button></form>`;

const body = async (req) => {
  let text = '';
  for await (const part of req) text += part;
  return new URLSearchParams(text);
};

createServer(async (req, res) => {
  if (!req.url.startsWith('/interaction/')) return provider.callback()(req, res);
  if (req.method === 'GET') return res.setHeader('Content-Type', 'text/html').end(form);
  const sent = await body(req);
  const strong = sent.get('factor') === 'otp';
  return provider.interactionFinished(req, res, {
    login: {
      accountId: people[sent.get('login')].sub,
      acr: strong ? 'urn:holdfast:mfa' : 'urn:holdfast:pwd', amr: strong ? ['pwd', 'otp', 'mfa'] : ['pwd'],
    },
  });
}).listen(port, '127.0.0.1', () => console.log('listening'));
