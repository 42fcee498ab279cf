import { basename } from 'node:path'

const KB = 1000
const MB = 1000 * KB
const BAR_WIDTH = 30
const REDRAW_MS = 80

/** The file of the demo: its path, its displayed name and its size. */
export interface DemoFile {
  path: string
  name: string
  sizeBytes: number
}

export type Terminal = ReturnType<typeof createTerminal>

/**
 * Prints the scenario line by line. Colours and a moving bar appear only on a terminal. Other outputs get plain lines,
 * each written once.
 */
export function createTerminal (out: NodeJS.WriteStream) {
  const colour = (code: number, text: string) =>
    out.isTTY && !process.env.NO_COLOR ? `\u001b[${code}m${text}\u001b[0m` : text
  const line = (text: string) => {
    out.write(`${text}\n`)
  }
  let steps = 0

  return {
    title: (text: string) => line(colour(1, text)),
    /** Starts a numbered step. */
    step: (text: string) => line(`\n${colour(36, String(++steps).padStart(2))}  ${colour(1, text)}`),
    say: (text: string) => line(`    ${text}`),
    /** Prints a check that passed. */
    good: (text: string) => line(`    ${colour(32, 'ok')} ${text}`),

    /** Returns a progress bar for `totalBytes`. `end` prints its last state with the mean speed. */
    progress (totalBytes: number) {
      const started = performance.now()
      let drawn = 0
      const draw = (bytes: number) => {
        const text = `    ${bar(bytes, totalBytes)} ${progressText(bytes, totalBytes, performance.now() - started)}`
        // The text is padded, so that it covers a longer text before it.
        out.write(out.isTTY ? `\r${text.padEnd(BAR_WIDTH + 55)}` : text)
      }
      return {
        update (bytes: number) {
          if (!out.isTTY || performance.now() - drawn < REDRAW_MS) return
          drawn = performance.now()
          draw(bytes)
        },
        end () {
          draw(totalBytes)
          out.write('\n')
        }
      }
    },

    /** Prints a bar for each entry, in proportion to the largest count. */
    chart (entries: Array<[label: string, count: number]>) {
      const most = Math.max(1, ...entries.map(([, count]) => count))
      const width = Math.max(0, ...entries.map(([label]) => label.length))
      for (const [label, count] of entries) {
        line(
          `    ${label.padEnd(width)}  ` +
            `${colour(36, '█'.repeat(Math.max(1, Math.round((count / most) * BAR_WIDTH))))} ${count}`
        )
      }
    }
  }
}

/** Returns a bar of fixed width: `[█████░░░░░]  50 %`. */
function bar (bytes: number, totalBytes: number): string {
  const share = totalBytes === 0 ? 1 : Math.min(1, bytes / totalBytes)
  const full = Math.round(share * BAR_WIDTH)
  return `[${'█'.repeat(full)}${'░'.repeat(BAR_WIDTH - full)}] ${String(Math.floor(share * 100)).padStart(3)} %`
}

function progressText (bytes: number, totalBytes: number, milliseconds: number): string {
  return `${inBytes(bytes)} of ${inBytes(totalBytes)}, ${inBytes((bytes / Math.max(milliseconds, 1)) * 1000)}/s`
}

/** Returns a size for people: `18.4 kB`, `240.2 MB`. */
export function inBytes (bytes: number): string {
  return bytes < MB ? `${(bytes / KB).toFixed(1)} kB` : `${(bytes / MB).toFixed(1)} MB`
}

/** Returns the name of a file in the scenario: its base name, without characters that break a line or a form field. */
export function shownName (path: string): string {
  return [...basename(path).replaceAll(/\p{Cc}/gu, ' ')].slice(0, 200).join('')
}
