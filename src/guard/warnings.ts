/** Mistakes that are logged when the app becomes ready: the app works, but not as intended. */
import { definitionsBelow } from '../dependency/traversal.js'
import { basePath, relativeTokenUrls } from '../requirement/security-schemes.js'
import type { RegistrationState } from './registration-state.js'
import type { RouteRecord } from './route-record.js'
import { decisionsOf, listOf, methodsOf, routeName, urlsOf } from './route-record.js'

/** Logs the warnings about the routes of a registration. */
export function warnAtReady (registration: RegistrationState, records: readonly RouteRecord[]): void {
  const { log } = registration
  for (const warning of [...tokenUrls(registration, records), ...lockedForms(records), ...lostGuards(records)]) {
    log.warn(warning)
  }
}

function tokenUrls ({ options, registry }: RegistrationState, records: readonly RouteRecord[]): readonly string[] {
  const base = basePath(options.prefix)
  const schemes = new Set(decisionsOf(records).flatMap(({ schemes }) => schemes))
  const form = registry.records.find((record) => record.fragments.size > 0)
  const fix = form === undefined
    ? 'Add the route, or correct tokenUrl'
    : `The login form is at ${routeName(form)}: correct tokenUrl`
  return [...schemes].flatMap((scheme) =>
    relativeTokenUrls(scheme, base)
      .filter((url) => !isServed(registry.records, url))
      .map((url) => `No POST route exists at ${url}, the tokenUrl of the scheme "${scheme.schemeName}". ${fix}`)
  )
}

function isServed (records: readonly RouteRecord[], url: string): boolean {
  return records.some((record) => methodsOf(record.options).includes('POST') && urlsOf(record).includes(url))
}

// Clients have no token yet when they post the form that issues one.
function lockedForms (records: readonly RouteRecord[]): readonly string[] {
  return records.flatMap((record) => {
    const { decision, fragments } = record
    if (decision === null || fragments.size === 0) return []
    const locked = decision.views.some((view) => definitionsBelow(view).some(({ kind }) => kind === 'scheme'))
    return locked
      ? [`The login form at ${routeName(record)} stands under a requirement of its context: no client can log in. ` +
      'Write security: false, preHandler: form on its route']
      : []
  })
}

// A plugin that wraps hooks keeps their number; one that drops or replaces them usually does not.
function lostGuards (records: readonly RouteRecord[]): readonly string[] {
  const lost = records.filter(({ options, decision, guardHooks: { onRequest }, hookCount }) => {
    if (decision?.guard === null || decision === null || onRequest === undefined) return false
    const hooks = listOf<unknown>(options.onRequest)
    return !hooks.includes(onRequest) && hooks.length < hookCount
  })
  return lost.length === 0
    ? []
    : [
        `Another plugin removed the guard from the hooks of ${lost.map(routeName).join(', ')}: ` +
        'these routes answer 500. ' +
          'An onRoute hook must add to the hooks of a route, not replace them'
      ]
}
