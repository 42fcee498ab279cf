/** The value that a share `quantile` of the sorted samples is not above. */
export function quantileOf (samples: number[], quantile: number): number {
  const sorted = [...samples].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * quantile))]!
}

export const medianOf = (samples: number[]): number => quantileOf(samples, 0.5)

/** The median of some rounds, and their least and greatest. */
export interface Spread {
  median: number
  least: number
  greatest: number
}

export const spreadOf = (samples: number[]): Spread => ({
  median: medianOf(samples),
  least: Math.min(...samples),
  greatest: Math.max(...samples)
})
