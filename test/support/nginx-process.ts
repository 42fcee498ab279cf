import { spawn, spawnSync } from 'node:child_process'
import { chmodSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { eventually } from './server-process.js'
import { freePort } from './services.js'
import { ask } from './raw-http.js'

/** A sentence that says why nginx can't be tested here, or false. */
export const withoutNginx = spawnSync('nginx', ['-v']).status !== 0 && 'needs the nginx program: apt-get install nginx'

/** An nginx with a configuration of deploy/, its ports and paths put into a temporary folder. */
export interface Nginx {
  origin: string
  pid: number
  /** Where the TLS server of nginx.conf listens. */
  tlsPort: number
  accessLog(): Promise<string>
  errorLog(): Promise<string>
}

/**
 * Starts nginx in front of servers on this machine, and of the files in their folder `uploads`; ended when the test
 * ends. Fails unless `nginx -t` likes the configuration.
 */
export async function startNginx (
  t: Pick<Test, 'teardown'>,
  configuration: 'nginx.conf' | 'nginx-compose.conf',
  origins: string[],
  uploads = '/nonexistent'
): Promise<Nginx> {
  const folder = await mkdtemp(join(tmpdir(), 'playgate-nginx-'))
  t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  chmodSync(folder, 0o755)
  const port = await freePort()
  const tlsPort = await freePort()
  const inFolder = (text: string) =>
    text
      .replaceAll('/var/log/nginx/', `${folder}/`)
      .replaceAll('/var/cache/nginx/', `${folder}/cache-`)
      .replaceAll('/var/lib/playgate/uploads/', `${uploads}/`)
      .replaceAll('/run/nginx.pid', `${folder}/nginx.pid`)
      .replaceAll('/etc/ssl/playgate/', `${folder}/`)
  const servers = origins.map((origin) => `server ${new URL(origin).host} max_fails=2 fail_timeout=5s;`).join('\n')
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${folder}/${name};`)
    .join('\n')
  const text = inFolder(await readFile(join('deploy', configuration), 'utf8'))
    .replace(/^user .*$/m, '')
    .replace(/^ *server \S+:\d+ .*;$/gm, '')
    .replace('upstream playgate {', `upstream playgate {\n${servers}`)
    .replace(/^ *listen \[::\].*$/gm, '')
    .replace('listen 80;', `listen 127.0.0.1:${port};`)
    .replace('listen 443 ssl;', `listen 127.0.0.1:${tlsPort} ssl;`)
    .replace('http {', `http {\n${temporary}`)
  await writeFile(join(folder, 'nginx.conf'), text)
  await writeFile(join(folder, 'playgate.inc'), inFolder(await readFile(join('deploy', 'playgate.inc'), 'utf8')))
  if (configuration === 'nginx.conf') makeCertificate(folder)
  // As root its workers would be somebody who may not write here.
  const args = [
    '-c',
    join(folder, 'nginx.conf'),
    '-e',
    join(folder, 'error.log'),
    '-g',
    `daemon off;${process.getuid?.() === 0 ? ' user root;' : ''}`
  ]
  const test = spawnSync('nginx', ['-t', ...args], { encoding: 'utf8' })
  if (test.status !== 0) throw new Error(`nginx -t: ${test.stderr}`)
  const child = spawn('nginx', args, { stdio: 'ignore' })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  t.teardown(async () => {
    child.kill('SIGTERM')
    await ended
  })
  const origin = `http://127.0.0.1:${port}`
  await eventually(
    'nginx answers',
    async () =>
      await ask(origin, '/livez').then(
        () => true,
        () => false
      )
  )
  return {
    origin,
    pid: child.pid!,
    tlsPort,
    accessLog: () => readFile(join(folder, 'access.log'), 'utf8'),
    errorLog: () => readFile(join(folder, 'error.log'), 'utf8')
  }
}

function makeCertificate (folder: string): void {
  const args = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-days',
    '1',
    '-subj',
    '/CN=media.example.org',
    '-keyout',
    join(folder, 'privkey.pem'),
    '-out',
    join(folder, 'fullchain.pem')
  ]
  const { status, stderr } = spawnSync('openssl', args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`openssl: ${stderr}`)
}
