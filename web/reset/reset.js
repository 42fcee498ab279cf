const form = document.querySelector('form')
const status = document.querySelector('[role=status]')
const button = document.querySelector('button')
const token = location.hash.slice(1)
// The link must not stay in the history of a shared computer.
window.history.replaceState(null, '', location.pathname)

/** Sends the new password. Resolves with undefined, or with a sentence that says what failed. */
async function send (password) {
  try {
    const reply = await fetch('/auth/reset', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token, password })
    })
    if (reply.ok) return undefined
    const { errors, detail } = await reply.json()
    return errors === undefined ? detail : errors.map(({ path, message }) => `${path} ${message}`).join(', ')
  } catch {
    return 'The server cannot be reached. Try again.'
  }
}

form.addEventListener('submit', async (event) => {
  event.preventDefault()
  const { password, again } = form.elements
  if (password.value !== again.value) {
    status.textContent = 'The two passwords differ.'
    return
  }
  button.disabled = true
  const fault = await send(password.value)
  button.disabled = false
  status.textContent = fault ?? 'The password is set. Log in with it.'
  form.hidden = fault === undefined
})
