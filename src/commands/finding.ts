/** The result of a check of `playgate doctor`. `fix` tells the operator how to solve the problem. */
export interface Finding {
  check: string
  status: 'ok' | 'warn' | 'fail'
  message: string
  fix?: string
}

export const ok = (check: string, message: string): Finding => ({ check, status: 'ok', message })

export function warn (check: string, message: string, fix: string): Finding {
  return { check, status: 'warn', message, fix }
}

export function fail (check: string, message: string, fix: string): Finding {
  return { check, status: 'fail', message, fix }
}
