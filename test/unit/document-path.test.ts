/** The path of a route in a document: as @fastify/swagger writes it. */
import t from 'tap'
import { pathOf } from '../../src/openapi/document.js'

t.test('parameters, expressions, wildcards and colons are written as OpenAPI asks for', (t) => {
  const rows: Array<[url: string, path: string]> = [
    ['/users/:id', '/users/{id}'],
    ['/users/:id(^(\\d+)$)/items', '/users/{id}/items'],
    ['/files/(^\\d+$)/(^\\w+$)', '/files/{regexp1}/{regexp2}'],
    ['/files/:name(^\\d+', '/files/{name}'],
    ['/time/12::30', '/time/12:30'],
    ['/assets/*', '/assets/{*}']
  ]
  for (const [url, path] of rows) t.equal(pathOf(url), path, url)
  t.end()
})

t.test('the path of a server is left out; a server without a valid address has no path', (t) => {
  t.equal(pathOf('/api/items', [{ url: 'https://example.com/api' }]), '/items')
  t.equal(pathOf('/api/items', [{ url: '/api' }]), '/items')
  t.equal(pathOf('/v1/items', [{ url: '/{version}', variables: { version: { default: 'v1' } } }]), '/items')
  t.equal(pathOf('/api/items', [{ url: 'https://{host}/api' }]), '/api/items')
  t.equal(pathOf('/api/items', [{ url: 'not an address' }]), '/api/items')
  t.end()
})
