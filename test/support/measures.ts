import type { Test } from 'tap'

/** Sizes for every run, and the ones for `npm run test:soak` (TEST_LONG). */
export const sized = (usual: number, soak: number): number => (process.env.TEST_LONG ? soak : usual)

/** Of what is drawn at random: TEST_SEED, or the same in every run. */
export const seed = Number(process.env.TEST_SEED ?? 20261125)

/** Says what was measured; the runner shows it in the soak. docs/security.md holds the last ones. */
export function figure (t: Test, text: string): void {
  t.comment(`figure: ${text}`)
}

export function median (values: number[]): number {
  return quantile(values, 0.5)
}

export function quantile (values: number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]!
}
