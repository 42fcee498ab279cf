import { spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import type { Test } from 'tap'

/** A real server process, ended when the test ends. */
export interface ServerProcess {
  origin: string
  child: ChildProcess
  /** All it has printed. */
  output(): string
  /** Sends a signal and resolves with the exit code, or the signal that ended it. */
  end(signal?: NodeJS.Signals): Promise<number | string>
}

/** Starts the compiled server on an environment and a free port; resolves when it has printed its address. */
export async function startServer (
  t: Pick<Test, 'teardown'>,
  env: Record<string, string>,
  args: string[] = []
): Promise<ServerProcess> {
  const child = spawn(process.execPath, [join('dist', 'bundle', 'server.js'), ...args], {
    env: { PATH: process.env.PATH, ...env, PORT: env.PORT ?? '0' },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let printed = ''
  const exited = new Promise<number | string>((resolve) =>
    child.once('exit', (code, signal) => resolve(signal ?? code!))
  )
  const origin = new Promise<string>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        printed += text
        const address = /listens on (http:\S+)/.exec(printed)?.[1]
        if (address !== undefined) resolve(address)
      })
    }
    void exited.then((how) => reject(new Error(`the server ended (${how}) before it listened:\n${printed}`)))
  })
  const end = async (signal: NodeJS.Signals = 'SIGKILL') => {
    child.kill(signal)
    return await exited
  }
  t.teardown(() => end())
  return { origin: await origin, child, output: () => printed, end }
}

export interface Reply {
  status: number
  body: Record<string, unknown> & { items?: unknown[] }
  headers: Headers
}

/** A request with a JSON body, or one of any kind; never throws for a status. Status 0: no answer at all. */
export async function call (
  origin: string,
  path: string,
  {
    token,
    json,
    body,
    method = json === undefined ? 'GET' : 'POST',
    headers = {}
  }: { token?: string; json?: unknown; body?: Buffer; method?: string; headers?: Record<string, string> } = {}
): Promise<Reply> {
  try {
    const reply = await fetch(origin + path, {
      method,
      headers: {
        ...(json !== undefined && { 'content-type': 'application/json' }),
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...headers
      },
      ...(json !== undefined && { body: JSON.stringify(json) }),
      ...(body !== undefined && { body: body as Uint8Array<ArrayBuffer> })
    })
    const text = await reply.text()
    return {
      status: reply.status,
      headers: reply.headers,
      body: /json/.test(reply.headers.get('content-type') ?? '') ? (JSON.parse(text) as Reply['body']) : { text }
    }
  } catch (error) {
    return { status: 0, headers: new Headers(), body: { error: String((error as Error).cause ?? error) } }
  }
}

/** Runs `work` again and again on `lanes` lanes until the time is over; answers how often it ran. */
export async function load (
  lanes: number,
  milliseconds: number,
  work: (round: number) => Promise<void>
): Promise<number> {
  const end = performance.now() + milliseconds
  let rounds = 0
  await Promise.all(
    Array.from({ length: lanes }, async () => {
      while (performance.now() < end) await work(rounds++)
    })
  )
  return rounds
}

/** Resolves when `condition` holds; throws with its name after a generous time. */
export async function eventually (
  name: string,
  condition: () => Promise<boolean> | boolean,
  milliseconds = 30_000
): Promise<number> {
  const start = performance.now()
  while (!(await condition())) {
    if (performance.now() - start > milliseconds) throw new Error(`never came true: ${name}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  return performance.now() - start
}
