import { existsSync } from 'node:fs'
import { chromium } from 'playwright-core'
import t from 'tap'
import { buildTestApp } from '../../support/test-app.js'
import { signUp } from '../../support/client.js'

const CHROMIUM = '/usr/bin/chromium'
const skip = existsSync(CHROMIUM) ? false : `${CHROMIUM} IS NOT INSTALLED: apt-get install chromium`

t.test('a reset link opens a page that sets a new password, once', { skip, timeout: 110_000 }, async (t) => {
  const server = await buildTestApp(t)
  const origin = await server.listen()
  const person = await signUp(server)
  const headers = { ...person.headers, host: new URL(origin).host }
  const created = await server.inject({ method: 'POST', url: `/users/${person.id}/reset-link`, headers })
  const { reset_url: link } = created.json<{ reset_url: string }>()
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] })
  t.teardown(() => browser.close())
  const page = await browser.newPage()
  const faults: string[] = []
  page.on('pageerror', (error) => faults.push(error.message))
  page.on('console', (message) => {
    if (message.text().includes('Content Security Policy')) faults.push(message.text())
  })
  const send = async (password: string, again = password) => {
    await page.fill('[name=password]', password)
    await page.fill('[name=again]', again)
    await page.click('button')
  }
  const says = (text: string) => page.getByText(text).waitFor({ timeout: 20_000 })

  await page.goto(link)
  t.equal(page.url(), `${origin}/reset`, 'the token leaves the address bar')
  await send('another_password456', 'a different one')
  await says('The two passwords differ.')
  await send('password123')
  await says('common')
  await send('another_password456')
  await says('The password is set. Log in with it.')
  const payload = { email: person.email, password: 'another_password456' }
  t.equal((await server.inject({ method: 'POST', url: '/auth/login', payload })).statusCode, 200)

  await page.goto('about:blank')
  await page.goto(link)
  await send('another_password789')
  await says('This link was used before')
  t.same(faults, [])
})
