/** The app of the platform programs, with a credential in each part of a request. */
import Fastify from 'fastify'
import fastifySecurity, {
  apiKeyCookie, apiKeyQuery, depends, httpBasic, httpBearer, InsufficientScope, oauth2PasswordRequestForm, Unauthorized
} from 'fastify-security'
import { jwtBearer, localIssuer } from 'fastify-security/tokens'

export const issuer = localIssuer('https://issuer.test/', { secret: 'a secret that all processes of the app know' })

export function buildApp (options = {}) {
  const app = Fastify(options)
  const bearer = httpBearer()
  const user = depends({ bearer }, ({ bearer: { credentials } }) => {
    if (credentials === 'narrow') throw new InsufficientScope('Too narrow', { scopes: ['wide'] })
    if (credentials !== 'good') throw new Unauthorized('Unknown token')
    return 'ann'
  })
  const known = (source) => depends({ source }, ({ source }) => {
    if (source !== 'k') throw new Unauthorized('Unknown key')
    return source
  })
  const password = depends({ basic: httpBasic() }, ({ basic }) => {
    if (basic.password !== 'secret') throw new Unauthorized('Unknown user')
    return basic.username
  })
  const token = jwtBearer({ issuer, audience: 'api' })
  app.register(fastifySecurity, { strict: true, swaggerUi: { security: false } })
  app.register(async (app) => {
    app.get('/user', { security: { user } }, async (request) => request.security.user)
    app.post('/user', { security: { user } }, async (request) => ({ body: request.body }))
    app.get('/either', { security: [{ user }, { password }] }, async () => 'in')
    app.get(
      '/query',
      { security: { key: known(apiKeyQuery({ name: 'key' })) } },
      async (request) => request.security.key
    )
    app.get(
      '/cookie',
      { security: { key: known(apiKeyCookie({ name: 'session' })) } },
      async (request) => request.security.key
    )
    app.get('/token', { security: { token: token.scoped('items') } }, async (request) => request.security.token.subject)
    app.post(
      '/login',
      { security: { form: oauth2PasswordRequestForm() } },
      async (request) => request.security.form.username
    )
  })
  return app
}
