/** The user and the dependencies of the type tests. No file in this folder is run. */
import { apiKeyHeader, depends, httpBearer } from '../../src/index.js'

export interface User { readonly id: number, readonly name: string }

export const currentUser = depends({ bearer: httpBearer() }, async ({ bearer }): Promise<User> => {
  return { id: 1, name: bearer.credentials }
})

export const tenant = depends({ key: apiKeyHeader({ name: 'x-tenant' }) }, ({ key }) => ({ tenant: key }))

export const serviceKey = apiKeyHeader({ name: 'x-service-key', schemeName: 'ServiceKey' })
