/** Drives Swagger UI in headless Chromium as a user would: through the elements of the page. */
import type { Browser, Locator, Page } from 'playwright-core'
import { chromium } from 'playwright-core'

/** Starts the Chromium that scripts/test-browser.sh found. */
export async function launch (): Promise<Browser> {
  return await chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'
    ]
  })
}

/** One page with the docs. */
export class SwaggerUi {
  constructor (readonly page: Page) {}

  /** Opens the docs, and waits until the document is shown. */
  async open (address: string): Promise<this> {
    await this.page.goto(address)
    await this.page.locator('.swagger-ui .opblock').first().waitFor()
    return this
  }

  operation (method: string, path: string): Locator {
    return this.page.locator(`.opblock-${method}`).filter({
      has: this.page.locator(`.opblock-summary-path[data-path="${path}"]`)
    })
  }

  /** Every operation on the page, and whether it has a padlock. */
  async padlocks (): Promise<Record<string, boolean>> {
    const found: Record<string, boolean> = {}
    for (const block of await this.page.locator('.opblock').all()) {
      const method = await block.locator('.opblock-summary-method').innerText()
      const path = await block.locator('.opblock-summary-path').getAttribute('data-path')
      found[`${method} ${path}`] = await block.locator('.opblock-summary .authorization__btn').count() > 0
    }
    return found
  }

  /** Opens the dialog. */
  async openDialog (): Promise<Locator> {
    await this.page.locator('.auth-wrapper > .btn.authorize').click()
    const dialog = this.page.locator('.dialog-ux .modal-ux')
    await dialog.waitFor()
    return dialog
  }

  /** The part of the dialog for one scheme, by its name; for OAuth 2, by name and flow. */
  scheme (name: string): Locator {
    return this.page.locator('.dialog-ux .auth-container').filter({ has: this.page.locator(`h4:has-text("${name}")`) })
  }

  /** Presses *Authorize* in the part of one scheme, and waits for the answer. */
  async authorize (part: Locator): Promise<void> {
    await part.locator('.auth-btn-wrapper .btn.authorize').click()
    await part.locator('.auth-btn-wrapper >> text=Logout').waitFor()
  }

  async closeDialog (): Promise<void> {
    await this.page.locator('.dialog-ux .btn-done').first().click()
    await this.page.locator('.dialog-ux').waitFor({ state: 'detached' })
  }

  /** Presses *Try it out* and *Execute*, and returns the answer that the page shows. */
  async call (method: string, path: string): Promise<{ status: string, text: string }> {
    const block = this.operation(method, path)
    if (await block.locator('.opblock-body').count() === 0) await block.locator('.opblock-summary-control').click()
    const tryOut = block.locator('.try-out__btn', { hasText: 'Try it out' })
    await block.locator('.try-out__btn').waitFor()
    if (await tryOut.count() > 0) await tryOut.click()
    const clear = block.locator('.btn-clear')
    if (await clear.count() > 0) await clear.click()
    await block.locator('.execute').click()
    const row = block.locator('.live-responses-table tr.response').first()
    await row.waitFor()
    return {
      status: (await row.locator('.response-col_status').innerText()).split(/\s/)[0]!,
      text: await row.locator('.response-col_description').innerText()
    }
  }
}
