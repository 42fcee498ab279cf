import bcrypt from 'bcryptjs'

export type PasswordTask = { password: string; cost: number } | { password: string; hash: string }

/** Returns a hash if the task contains a cost. Otherwise compares the password with the given hash. */
export default function run (task: PasswordTask): string | boolean {
  return 'cost' in task ? bcrypt.hashSync(task.password, task.cost) : bcrypt.compareSync(task.password, task.hash)
}
