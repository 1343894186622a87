export type CsrfOption = false | { readonly trustedOrigins?: readonly string[] }
export type CsrfPolicy = false | { readonly trustedOrigins: ReadonlySet<string> }
export function parseCsrfOption (_option: unknown, _refuse: (problem: string) => Error): CsrfPolicy {
  return { trustedOrigins: new Set() }
}
