/** The session-cookie example in Chromium, with pages of other origins that send forms to it. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Page } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import { openAccounts } from '../../example/accounts.js'
import { openDatabase } from '../../example/database.js'
import { COOKIE, sessionApp } from '../../example/session-cookie/app.js'
import { launch } from './swagger-ui.js'

const browser = await launch()
t.teardown(() => browser.close())

interface Started {
  /** The app under the host name `localhost`. */
  readonly address: string
  readonly page: Page
  /** Servers of other sites, by name. */
  readonly others: Readonly<Record<string, string>>
  cookie (): Promise<{ readonly value: string, readonly secure: boolean, readonly httpOnly: boolean } | undefined>
}

async function start (t: Test): Promise<Started> {
  const database = openDatabase(':memory:')
  const accounts = openAccounts(database)
  await accounts.add('johndoe', 'secret')
  await accounts.add('mallory', 'secret')
  const app = await sessionApp({ database, accounts, loginsPerMinute: 1000 })
  app.addHook('onClose', async () => { database.close() })
  t.teardown(async () => { await app.close() })
  await app.listen({ host: 'localhost', port: 0 })
  const address = `http://localhost:${(app.server.address() as AddressInfo).port}`

  // Answers every URL with a form that submits itself to the app at once: /?/notes&text=x
  const attacker = createServer((request, response) => {
    const { searchParams } = new URL(request.url!, 'http://localhost')
    const [path, ...fields] = [...searchParams.entries()]
    response.setHeader('content-type', 'text/html')
    response.end(`<form method="post" action="${address}${path![0]}">
      ${fields.map(([name, value]) => `<input name="${name}" value="${value}">`).join('')}
      </form><script>document.forms[0].submit()</script>`)
  }).listen(0, '127.0.0.1')
  const second = createServer(attacker.listeners('request')[0] as () => void).listen(0, 'localhost')
  t.teardown(() => { attacker.close(); second.close() })
  await Promise.all(
    [attacker, second].map(async (server) => { if (!server.listening) await once(server, 'listening') })
  )

  const context = await browser.newContext()
  t.teardown(async () => { await context.close() })
  return {
    address,
    page: await context.newPage(),
    others: {
      'another host': `http://127.0.0.1:${(attacker.address() as AddressInfo).port}`,
      'another port': `http://localhost:${(second.address() as AddressInfo).port}`
    },
    cookie: async () => (await context.cookies(address)).find(({ name }) => name === COOKIE)
  }
}

async function login ({ page, address }: Started): Promise<void> {
  await page.goto(address)
  await page.fill('input[name="username"]', 'johndoe')
  await page.fill('input[name="password"]', 'secret')
  await Promise.all([page.waitForURL(`${address}/`), page.click('button')])
}

t.test('a user logs in, adds a note and logs out, with the forms of the pages', async (t) => {
  const started = await start(t)
  const { page, address, cookie } = started
  await login(started)
  t.equal(await page.innerText('h1'), 'Notes of johndoe')
  t.match(await cookie(), { secure: true, httpOnly: true })
  await page.fill('input[name="text"]', 'My <b>note</b>')
  await page.click('form[action="/notes"] button')
  await page.waitForSelector('li')
  t.equal(await page.innerText('li'), 'My <b>note</b>')
  await Promise.all([page.waitForURL(`${address}/login`), page.click('form[action="/logout"] button')])
  t.equal(await cookie(), undefined)
  await page.goBack()
  t.equal(await page.innerText('h1'), 'Log in', 'the page is not in the history any more')
})

t.test('forms of other origins cannot act for the user, log the user in, or log the user out', async (t) => {
  const started = await start(t)
  const { page, address, others, cookie } = started
  await login(started)
  const { value } = (await cookie())!
  for (const [name, origin] of Object.entries(others)) {
    // The browser sends the cookie to another port of the same host; SameSite withholds it from another host.
    const expected = name === 'another port' ? 403 : 401
    for (const [query, status] of [
      ['/notes&text=stolen', expected], ['/login&username=mallory&password=secret', 403], ['/logout', 403]
    ] as const) {
      const answer = page.waitForResponse(
        (response) => response.url().startsWith(address) && response.request().method() === 'POST'
      )
      await page.goto(`${origin}/?${query}`)
      t.equal((await answer).status(), status, `${query} from ${name}`)
    }
  }
  t.equal((await cookie())!.value, value)
  await page.goto(address)
  t.equal(await page.innerText('h1'), 'Notes of johndoe')
  t.equal(await page.locator('li').count(), 0)
})

t.test('a user who follows a link from another origin is still logged in', async (t) => {
  const started = await start(t)
  const { page, address, others } = started
  await login(started)
  for (const [name, origin] of Object.entries(others)) {
    await page.route(`${origin}/link`, async (route) => {
      await route.fulfill({ contentType: 'text/html', body: `<a href="${address}/">Notes</a>` })
    })
    await page.goto(`${origin}/link`)
    await Promise.all([page.waitForURL(`${address}/**`), page.click('a')])
    t.equal(await page.innerText('h1'), 'Notes of johndoe', name)
  }
})
