/** The policy of the page: only this server, no frames, and no form that leaves the page. */
export const RESET_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; " +
  "form-action 'none'; frame-ancestors 'none'"

/** Returns the page on which a person sets a new password. web/reset/reset.js reads the token of the link. */
export function resetPage (): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Set a new password</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/reset/reset.css">
<script type="module" src="/reset/reset.js"></script>
<main>
<h1>Set a new password</h1>
<form>
<label>New password
<input type="password" name="password" autocomplete="new-password" minlength="8" maxlength="72" required></label>
<label>The same again
<input type="password" name="again" autocomplete="new-password" maxlength="72" required></label>
<button>Set the password</button>
</form>
<p role="status" aria-live="polite"></p>
<noscript>This page needs JavaScript.</noscript>
</main>
</html>
`
}
