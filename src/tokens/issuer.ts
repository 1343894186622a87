/** A remote issuer of tokens: its identifier and options. remote-issuer.ts has its state in one registration. */
import { InvalidOption } from './errors.js'
import type { Issuer } from './issuer-dependency.js'
import { issuerDependency } from './issuer-dependency.js'
import type { IssuerHandle, TrustedIssuer } from './issuer-handle.js'
import { checkAddress, checkIdentifier } from './issuer-url.js'
import { describe } from './options.js'
import { remoteIssuer, reportOptions } from './remote-issuer.js'
import type { IssuerOptions } from './remote-options.js'
import { readRemoteOptions } from './remote-options.js'

interface RemoteHandle extends IssuerHandle {
  readonly trusted: TrustedIssuer & { readonly start: () => Promise<void> }
}

const STARTS = ['background', 'require', 'lazy']

/**
 * Names an authorization server whose tokens are trusted. Its keys are found by discovery, cached and renewed, for
 * each app anew.
 *
 * @param url its identifier: exactly the claim `iss` of its tokens, a final `/` included
 * @param options where its keys are, and how long they are used
 * @throws {InvalidOption} `FST_SECURITY_INVALID_OPTION` if the URL is not an https URL, or an option is wrong or
 *   unknown
 * @see {@link https://www.rfc-editor.org/rfc/rfc8414 RFC 8414}
 * @example
 * import { issuer, jwtBearer } from 'fastify-security/tokens'
 *
 * const auth0 = issuer('https://acme.eu.auth0.com/')
 * const token = jwtBearer({ issuer: auth0, audience: 'https://api.acme.com' })
 */
export function issuer (url: string, options: IssuerOptions = {}): Issuer {
  checkIdentifier('issuer', url)
  const config = readRemoteOptions('issuer', options)
  checkAddress('issuer: the issuer', url, config.allowInsecureRequests)
  const { start = 'background' } = options
  if (!STARTS.includes(start)) {
    throw new InvalidOption(`issuer: start must be one of: ${STARTS.join(', ')}, got ${describe(start)}`)
  }
  return issuerDependency<Issuer, RemoteHandle>({
    kind: 'issuer',
    data: { identifier: url, isLocal: false, hasSecret: false, algorithms: config.algorithms },
    dependsOnService: true,
    handle (registration) {
      const trusted = remoteIssuer(url, config, { registration })
      return { trusted, single: trusted, find: (iss) => iss === url ? trusted : null }
    },
    async onReady ({ trusted }, app) {
      reportOptions(url, config, app)
      if (start === 'lazy') return
      const started = trusted.start()
      // The failure is in the log; a token causes the next attempt.
      if (start === 'background') started.catch(() => {})
      else await started.catch(() => { app.refuse(unreachable(url)) })
    }
  })
}

function unreachable (issuer: string): { readonly code: string, readonly message: string } {
  return {
    code: 'FST_SECURITY_START_REFUSED',
    message: `The keys of the issuer ${issuer} must be fetched before the app starts (start: 'require'), ` +
      'and cannot be. ' +
      'The log says why'
  }
}
