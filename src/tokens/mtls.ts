/**
 * Tokens that are bound to a client certificate: compares the certificate of the request with the claim `cnf`.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc8705#section-3 RFC 8705 §3, §3.1}
 */
import { createHash, timingSafeEqual, X509Certificate } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { registrationOf } from '../extension.js'
import { InvalidOption, rejected } from './errors.js'
import { describe } from './options.js'

/** Reads the client certificate of a request; `null` or `undefined` where there is none. */
export type CertificateReader = (request: FastifyRequest) => Uint8Array | string | null | undefined

/**
 * Makes the check of a token that is bound to a certificate.
 *
 * @param where the function whose option `mtls` it is
 * @returns a function that throws `Unauthorized` where the certificate of the request is not the one with this hash
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION
 */
export function certificateCheck (where: string, read: unknown): (hash: string, request: FastifyRequest) => void {
  if (typeof read !== 'function') {
    throw new InvalidOption(
      `${where}: mtls must be a function that returns the client certificate, got ${describe(read)}. ` +
        'Write (request) => request.raw.socket.getPeerCertificate().raw'
    )
  }
  const state = {}
  return (hash, request) => {
    const sent: unknown = (read as CertificateReader)(request)
    if (sent === null || sent === undefined || sent === '') {
      throw rejected('binding', 'The request must come with the client certificate of the token')
    }
    if (sent instanceof Promise) {
      sent.catch(() => {})
      throw new TypeError(`${where}: mtls must return the certificate, got a promise. Make the function synchronous`)
    }
    const certificate = readCertificate(sent)
    if (certificate === null) {
      warnOnce(where, state, request)
      throw rejected('binding', 'The client certificate cannot be read')
    }
    if (!isEqual(hash, createHash('sha256').update(certificate).digest())) {
      throw rejected('binding', 'The token is bound to another client certificate')
    }
  }
}

function warnOnce (where: string, key: object, request: FastifyRequest): void {
  const { state, log } = {
    state: registrationOf(request).state(key, () => ({ hasWarned: false })),
    log: registrationOf(request).log
  }
  if (state.hasWarned) return
  state.hasWarned = true
  log.warn(
    `${where}: mtls must return a certificate as DER, PEM, URL-encoded PEM or :base64: of RFC 9440, ` +
    'got another value. ' +
      'Check the header that the proxy sends'
  )
}

// sf-binary = ":" *(base64) ":"   RFC 8941 §3.3.5
const SF_BINARY = /^:((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?):$/

/** The octets of a certificate in DER; `null` where the value is not a certificate. */
function readCertificate (sent: unknown): Buffer | null {
  try {
    const encoded = typeof sent === 'string' ? decode(sent.trim()) : sent
    return encoded instanceof Uint8Array || typeof encoded === 'string' ? new X509Certificate(encoded).raw : null
  } catch {
    return null
  }
}

function decode (text: string): Buffer | string {
  const binary = SF_BINARY.exec(text)?.[1]
  if (binary !== undefined) return Buffer.from(binary, 'base64')
  // AWS leaves "+", "=" and "/" as they are.
  return text.startsWith('-----BEGIN%20') ? decodeURIComponent(text) : text
}

function isEqual (hash: string, octets: Buffer): boolean {
  const expected = Buffer.from(hash)
  const found = Buffer.from(octets.toString('base64url'))
  return expected.length === found.length && timingSafeEqual(expected, found)
}
