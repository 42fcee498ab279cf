/** The result of a check of `playgate doctor`. `fix` tells the operator how to solve the problem. */
export interface Finding {
  check: string
  status: 'ok' | 'warn' | 'fail'
  message: string
  fix?: string
}

/** The message of a check that needs the newest schema. */
export const NOT_MIGRATED = 'not checked: the schema is not up to date'

export const ok = (check: string, message: string): Finding => ({ check, status: 'ok', message })

export function warn (check: string, message: string, fix: string): Finding {
  return { check, status: 'warn', message, fix }
}

export function fail (check: string, message: string, fix: string): Finding {
  return { check, status: 'fail', message, fix }
}
