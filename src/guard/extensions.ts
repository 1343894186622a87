/** Tells the extensions of dependencies that the app becomes ready. */
import type { Extension } from '../extension.js'
import { extensionOfDefinition } from '../requirement/extensions.js'
import type { RegistrationState } from './registration-state.js'
import { factsOf } from './resource-metadata.js'
import type { Problem } from './route-record.js'
import { decisionsOf } from './route-record.js'

/** Calls `onReady` of each extension below a requirement, with overrides applied. */
export async function becomeReady (registration: RegistrationState): Promise<readonly Problem[]> {
  const problems: Problem[] = []
  const { log, signal } = registration
  const app = {
    log,
    signal,
    state: registration.state.bind(registration),
    refuse (problem: { readonly code: string, readonly message: string }) { problems.push({ ...problem, route: null }) }
  }
  for (const extension of extensionsInUse(registration)) await extension.onReady?.(app)
  warnAboutResource(registration)
  return problems
}

function extensionsInUse ({ records, overrides }: RegistrationState): readonly Extension[] {
  return overrides.definitionsInUse(decisionsOf(records).flatMap(({ views }) => views))
    .flatMap((definition) => extensionOfDefinition(definition) ?? [])
}

function warnAboutResource ({ options: { resource }, records, log }: RegistrationState): void {
  if (resource === null) return
  const audiences = factsOf(records).flatMap(({ audiences = [] }) => audiences)
  if (audiences.length > 0 && !audiences.includes(resource.resource)) {
    log.warn(
      `The resource ${resource.resource} is not among the audiences of the tokens: ` +
      `${[...new Set(audiences)].join(', ')}. ` +
        'A client that follows the metadata gets tokens that are rejected. Use the same identifier in both places'
    )
  }
}
