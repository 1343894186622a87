/** As much of oidc-provider's types as the examples use: it comes without any. */
declare module 'oidc-provider' {
  import type { IncomingMessage, ServerResponse } from 'node:http'

  export interface Interaction {
    readonly uid: string
    readonly prompt: { readonly name: string }
    readonly params: Readonly<Record<string, string | undefined>>
    readonly session?: { readonly accountId: string }
  }

  export interface Grant {
    addOIDCScope(scope: string): void
    rejectOIDCScope(scope: string): void
    addResourceScope(resource: string, scope: string): void
    rejectResourceScope(resource: string, scope: string): void
    save(): Promise<string>
  }

  export default class Provider {
    constructor (issuer: string, configuration: Record<string, unknown>)
    readonly Grant: new (of: { accountId: string, clientId: string }) => Grant
    callback (): (request: IncomingMessage, response: ServerResponse) => void
    interactionDetails (request: IncomingMessage, response: ServerResponse): Promise<Interaction>
    interactionFinished (
      request: IncomingMessage,
      response: ServerResponse,
      result: Record<string, unknown>
    ): Promise<void>
  }
}
