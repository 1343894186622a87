/** The address that a DPoP proof names, and that of the request: normalized as RFC 3986 §6.2.2 and §6.2.3 say. */
import t from 'tap'
import { normalizedUri, requestUri } from '../../../src/tokens/target-uri.js'

const BASE = 'https://api.example.com'

t.test('a proof names an address of http or https, without user info, spaces or other characters', (t) => {
  const rows: Array<[text: string, normalized: string | null]> = [
    ['HTTPS://API.example.com:443/items?a=b#c', `${BASE}/items`],
    ['http://api.example.com:80', 'http://api.example.com/'],
    ['https://api.example.com:8443/', 'https://api.example.com:8443/'],
    ['https://[2001:db8::1]/', 'https://[2001:db8::1]/'],
    ['https://api.example.com/%7euser/%2f', `${BASE}/~user/%2F`],
    ['https://user@api.example.com/', null],
    ['https://api.example.com/a b', null],
    ['https://api.example.com/ä', null],
    ['https://api.example.com\\items', null],
    ['https:///items', null],
    ['ftp://api.example.com/', null],
    ['/items', null]
  ]
  for (const [text, normalized] of rows) t.equal(normalizedUri(text), normalized, text)
  t.end()
})

t.test('only the path of a request counts; a path that is not valid in a URI has no address', (t) => {
  const rows: Array<[target: string, normalized: string | null]> = [
    ['/items?a=b', `${BASE}/items`],
    ['/a/./b/../c', `${BASE}/a/c`],
    ['/a/.', `${BASE}/a/`],
    ['/a/..', `${BASE}/`],
    ['/a/b/..', `${BASE}/a/`],
    ['/../../a', `${BASE}/a`],
    ['//a', `${BASE}//a`],
    ['http://other.example.com/items', `${BASE}/items`],
    ['http://other.example.com', `${BASE}/`],
    ['https://other.example.com?a=b', `${BASE}/`],
    ['*', null],
    ['api.example.com:443', null],
    ['/a[b]', null],
    ['/a#b', null],
    ['/a b', null],
    ['/ä', null],
    ['/a%zz', null]
  ]
  for (const [target, normalized] of rows) t.equal(requestUri(BASE, target), normalized, target)
  t.equal(requestUri(`${BASE}/v1`, '/../items'), `${BASE}/items`, 'dots may leave the path of the base')
  t.end()
})
