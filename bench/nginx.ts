import { spawn, spawnSync } from 'node:child_process'
import { chmodSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { call, eventually } from '../test/support/server-process.js'
import { freePort } from '../test/support/services.js'
import type { CleanUp } from './bench.js'
import { familyOf, type Program } from './processes.js'

/** A sentence that says why nginx can't be the baseline here, or false. */
export const withoutNginx = spawnSync('nginx', ['-v']).status !== 0 && 'needs the nginx program: apt-get install nginx'

/**
 * Bare nginx with the files of a folder, without a log: GET by sendfile, GET under /copied/ by read and write, and PUT.
 */
export async function startBareNginx (t: CleanUp, root: string): Promise<Program> {
  const folder = await mkdtemp(join(tmpdir(), 'playgate-bench-nginx-'))
  t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  chmodSync(folder, 0o755)
  const port = await freePort()
  await writeFile(
    join(folder, 'nginx.conf'),
    `
worker_processes auto;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log crit;
events { worker_connections 1024; }
http {
    access_log off;
    proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fastcgi;
    uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
    sendfile on;
    tcp_nopush on;
    server {
        listen 127.0.0.1:${port};
        root ${root};
        default_type audio/wav;
        location / { }
        location /copied/ {
            alias ${root}/;
            sendfile off;
            output_buffers 1 4m;
        }
        location /put/ {
            client_max_body_size 0;
            client_body_temp_path ${root}/put-temporary;
            client_body_buffer_size 1m;
            dav_methods PUT DELETE;
            create_full_put_path on;
        }
    }
}
`
  )
  const child = spawn(
    'nginx',
    [
      '-c',
      join(folder, 'nginx.conf'),
      '-e',
      join(folder, 'error.log'),
      '-g',
      `daemon off;${process.getuid?.() === 0 ? ' user root;' : ''}`
    ],
    { stdio: 'ignore' }
  )
  const ended = new Promise((resolve) => child.once('exit', resolve))
  t.teardown(async () => {
    child.kill('SIGTERM')
    await ended
  })
  const origin = `http://127.0.0.1:${port}`
  await eventually('nginx answers', async () => (await call(origin, '/')).status !== 0)
  return { origin, pids: familyOf(child.pid!), child }
}
