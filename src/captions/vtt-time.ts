/** Returns a time in milliseconds as WebVTT writes it, such as `00:01:02.500`. */
export function vttTime (milliseconds: number): string {
  const hours = Math.floor(milliseconds / 3_600_000)
  const rest = new Date(milliseconds % 3_600_000).toISOString().slice(14, 23)
  return `${String(hours).padStart(2, '0')}:${rest}`
}
