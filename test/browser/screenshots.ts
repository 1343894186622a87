/** Takes the pictures of the README again, from the main example: `npm run screenshots`. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline/promises'
import { launch, SwaggerUi } from './swagger-ui.js'

const example = spawn(process.execPath, ['--import', 'tsx', 'example/main.ts'], {
  env: { ...process.env, PORT: '3000' },
  stdio: ['ignore', 'pipe', 'inherit']
})
const browser = await launch()
try {
  for await (const line of createInterface(example.stdout)) {
    if (line.startsWith('Open ')) break
  }
  const context = await browser.newContext({ viewport: { width: 1000, height: 940 } })
  const ui = await new SwaggerUi(await context.newPage()).open('http://127.0.0.1:3000/docs')
  await ui.page.screenshot({ path: 'docs/images/page.png' })
  await ui.openDialog()
  const part = ui.scheme('OAuth2PasswordBearer')
  await part.locator('#oauth_username').fill('johndoe')
  await part.locator('#oauth_password').fill('secret')
  await part.locator('label[for^="me-"]').first().click()
  await ui.page.screenshot({ path: 'docs/images/dialog.png' })
  await ui.authorize(part)
  await ui.closeDialog()
  await ui.call('get', '/users/me/items')
  await ui
    .operation('get', '/users/me/items')
    .locator('.live-responses-table')
    .screenshot({ path: 'docs/images/refused.png' })
} finally {
  await browser.close()
  example.kill()
}
