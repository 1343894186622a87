/** The pages of the browser application, as HTML. */
import type { FastifyReply } from 'fastify'

// Forms post to this app alone, other pages do not frame these, and scripts do not run.
const POLICY = "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

/** Sends a page. The browser does not keep it, so that it cannot be read with the back button after the logout. */
export function sendPage (reply: FastifyReply, body: string): FastifyReply {
  return reply
    .type('text/html; charset=utf-8')
    .headers({
      'cache-control': 'no-store',
      'content-security-policy': POLICY,
      'x-content-type-options': 'nosniff',
      // With `no-referrer`, browsers would send forms with `Origin: null`.
      'referrer-policy': 'same-origin'
    })
    .send(`<!doctype html><html lang="en"><meta charset="utf-8"><title>Notes</title><body>${body}</body></html>`)
}

export function loginPage (problem?: string): string {
  return `<h1>Log in</h1>${problem === undefined ? '' : `<p role="alert">${escapeHtml(problem)}</p>`}
<form method="post" action="/login">
<label>Name <input name="username" autocomplete="username" required></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required></label>
<button>Log in</button>
</form>`
}

export function notesPage (username: string, notes: readonly string[]): string {
  return `<h1>Notes of ${escapeHtml(username)}</h1>
<ul>${notes.map((note) => `<li>${escapeHtml(note)}</li>`).join('')}</ul>
<form method="post" action="/notes">
<label>Note <input name="text" maxlength="200" required></label>
<button>Add</button>
</form>
<form method="post" action="/logout"><button>Log out</button></form>`
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;'
}

function escapeHtml (text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character]!)
}
