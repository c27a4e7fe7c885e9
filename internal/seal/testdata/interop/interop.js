// Signs and verifies with npm's jose and http-message-signatures what it is told on stdin: a list of tasks, as JSON. It answers with a list
// of results, each {ok} with what was made, or {error}.
import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import { readFileSync } from 'node:fs'
import * as jose from 'jose'
import { httpbis } from 'http-message-signatures'

const lookup = jwk => async params => params.keyid !== jwk.kid ? null : {
  id: jwk.kid,
  algs: ['ed25519'],
  verify: async (data, signature) => verify(null, data, createPublicKey({ key: jwk, format: 'jwk' }), signature),
}

const tasks = {
  async verifyRequest({ jwk, message }) {
    return { ok: await httpbis.verifyMessage({ keyLookup: lookup(jwk), requiredParams: ['created', 'nonce', 'keyid', 'tag'] }, message) === true }
  },
  async verifyAnswer({ jwk, message, request }) {
    return { ok: await httpbis.verifyMessage({ keyLookup: lookup(jwk), requiredParams: ['created', 'keyid', 'tag'] }, message, request) === true }
  },
  async signRequest({ jwk, message, fields, nonce }) {
    const key = { id: jwk.kid, alg: 'ed25519', sign: async data => sign(null, data, createPrivateKey({ key: jwk, format: 'jwk' })) }
    const signed = await httpbis.signMessage({
      key, name: 'theirs', fields, params: ['created', 'expires', 'nonce', 'keyid', 'alg', 'tag'], paramValues: { nonce, tag: 'holdfast' },
    }, message)
    return { ok: true, headers: signed.headers }
  },
  async verifyJWS({ jwk, jws, payload, typ }) {
    const [head, middle, tail] = jws.split('.')
    const whole = middle ? jws : [head, jose.base64url.encode(payload), tail].join('.')
    const r = await jose.compactVerify(whole, await jose.importJWK(jwk, 'EdDSA'), { algorithms: ['EdDSA'] })
    return { ok: r.protectedHeader.typ === typ && r.protectedHeader.kid === jwk.kid, payload: new TextDecoder().decode(r.payload) }
  },
  async signJWS({ jwk, payload, typ }) {
    const s = await new jose.CompactSign(new TextEncoder().encode(payload)).setProtectedHeader({ alg: 'EdDSA', kid: jwk.kid, typ })
      .sign(await jose.importJWK(jwk, 'EdDSA'))
    return { ok: true, jws: s }
  },
  async encrypt({ jwk, alg, payload, typ, cty, event }) {
    const jwe = await new jose.CompactEncrypt(new TextEncoder().encode(payload)).setProtectedHeader({ alg, enc: 'A256GCM', kid: jwk.kid, typ, cty, event })
      .encrypt(await jose.importJWK(jwk, alg))
    return { ok: true, jwe }
  },
  async decrypt({ jwk, alg, jwe, typ, cty, event }) {
    const r = await jose.compactDecrypt(jwe, await jose.importJWK(jwk, alg), { keyManagementAlgorithms: [alg], contentEncryptionAlgorithms: ['A256GCM'] })
    const h = r.protectedHeader
    return { ok: h.typ === typ && h.cty === cty && h.event === event && h.kid === jwk.kid, payload: new TextDecoder().decode(r.plaintext) }
  },
  async thumbprint({ jwk }) {
    return { ok: await jose.calculateJwkThumbprint(jwk) === jwk.kid }
  },
}

const results = []
for (const task of JSON.parse(readFileSync(0, 'utf8'))) {
  results.push(await tasks[task.do](task).catch(e => ({ ok: false, error: String(e) })))
}
console.log(JSON.stringify(results))
