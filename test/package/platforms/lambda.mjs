/** AWS Lambda: events of API Gateway (payload formats 1.0 and 2.0) and of a load balancer, by @fastify/aws-lambda. */
import assert from 'node:assert/strict'
import awsLambdaFastify from '@fastify/aws-lambda'
import { buildApp, issuer } from './app.mjs'

const FORM = 'application/x-www-form-urlencoded'

function parts ({ method = 'GET', path, query = {}, headers = {}, body = null }) {
  // API Gateway encodes bodies that may be binary.
  const encoded = body === null ? null : Buffer.from(body).toString('base64')
  return {
    method,
    path,
    query,
    headers: { host: 'api.example.com', ...headers },
    body: encoded,
    isBase64Encoded: body !== null
  }
}

function multi (values) {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, [value].flat()]))
}

function single (values) {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, [value].flat().at(-1)]))
}

const SEVERAL = 'load balancer, several values'

const EVENTS = {
  'API Gateway 1.0': (request) => {
    const { method, path, query, headers, ...rest } = parts(request)
    return {
      version: '1.0',
      resource: '/{proxy+}',
      httpMethod: method,
      path,
      ...rest,
      headers: single(headers),
      multiValueHeaders: multi(headers),
      queryStringParameters: single(query),
      multiValueQueryStringParameters: multi(query),
      requestContext: { stage: 'prod', requestId: 'r', identity: { sourceIp: '192.0.2.1' } }
    }
  },
  'API Gateway 2.0': (request) => {
    const { method, path, query, headers: { cookie, ...headers }, ...rest } = parts(request)
    return {
      version: '2.0',
      routeKey: '$default',
      rawPath: path,
      rawQueryString: new URLSearchParams(query).toString(),
      ...rest,
      headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value].flat().join(',')])),
      ...(cookie !== undefined && { cookies: cookie.split('; ') }),
      queryStringParameters: query,
      requestContext: { stage: '$default', requestId: 'r', http: { method, path, sourceIp: '192.0.2.1' } }
    }
  },
  'load balancer': (request) => {
    const { method, path, query, headers, ...rest } = parts(request)
    return {
      httpMethod: method,
      path,
      ...rest,
      headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value].flat().at(-1)])),
      queryStringParameters: query,
      requestContext: { elb: { targetGroupArn: 'arn' } }
    }
  },
  [SEVERAL]: (request) => {
    const { method, path, query, headers, ...rest } = parts(request)
    return {
      httpMethod: method,
      path,
      ...rest,
      multiValueHeaders: multi(headers),
      multiValueQueryStringParameters: multi(query),
      requestContext: { elb: { targetGroupArn: 'arn' } }
    }
  }
}

const TWICE = { 'API Gateway 1.0': 400, 'API Gateway 2.0': 401, 'load balancer': 200, [SEVERAL]: 400 }

function challengesOf ({ headers = {}, multiValueHeaders = {} }) {
  return [headers['www-authenticate'] ?? multiValueHeaders['www-authenticate'] ?? []].flat().join(', ')
}

for (const [name, eventOf] of Object.entries(EVENTS)) {
  const proxy = awsLambdaFastify(buildApp(), { albMultiValueHeaders: name === SEVERAL })
  const ask = async (request) => proxy(eventOf(request), { awsRequestId: 'r' })
  const as = (credentials) => ({ authorization: `Bearer ${credentials}` })
  const sign = (scope) => issuer.sign({ aud: 'api', sub: 'ann', scope })
  for (const [request, status, body] of [
    [{ path: '/user' }, 401],
    [{ path: '/user', headers: as('bad') }, 401],
    [{ path: '/user', headers: as('narrow') }, 403],
    [{ path: '/user', headers: as('good') }, 200, 'ann'],
    [{ method: 'POST', path: '/user', body: '{}', headers: { 'content-type': 'application/json' } }, 401],
    [{ path: '/either' }, 401],
    [{ path: '/either', headers: { authorization: `Basic ${btoa('ann:secret')}` } }, 200, 'in'],
    [{ path: '/query', query: {} }, 401],
    [{ path: '/query', query: { key: 'k' } }, 200, 'k'],
    [{ path: '/cookie', headers: { cookie: 'a=b' } }, 401],
    [{ path: '/cookie', headers: { cookie: 'a=b; session=k' } }, 200, 'k'],
    [{ path: '/cookie', headers: { cookie: 'session=k; session=l' } }, 400],
    [{ path: '/token' }, 401],
    [{ path: '/token', headers: as(await sign('other')) }, 403],
    [{ path: '/token', headers: as(await sign('items')) }, 200, 'ann'],
    [
      { method: 'POST', path: '/login', body: 'username=ann&password=secret', headers: { 'content-type': FORM } },
      200,
      'ann'
    ],
    [{ method: 'POST', path: '/login', body: 'username=ann', headers: { 'content-type': FORM } }, 400]
  ]) {
    const answer = await ask(request)
    const what = `${name}: ${JSON.stringify(request)}: ${JSON.stringify(answer)}`
    assert.equal(answer.statusCode, status, what)
    if (status === 200) assert.equal(answer.body, body, what)
    if (status === 401) assert.match(challengesOf(answer), /realm="api"/, what)
  }
  // Each alternative has its own challenge.
  assert.match(
    challengesOf(await ask({ path: '/either' })),
    /^Basic realm="api", charset="UTF-8", ?Bearer realm="api"$/
  )
  // Payload format 2.0 joins the values, and a load balancer without multi-value headers keeps the last one.
  const twice = await ask({ path: '/user', headers: { authorization: ['Bearer bad', 'Bearer good'] } })
  assert.equal(twice.statusCode, TWICE[name])
  const document = JSON.parse((await ask({ path: '/docs/json' })).body)
  assert.deepEqual(document.paths['/user'].get.security, [{ HTTPBearer: [] }])
}
console.log('all events')
