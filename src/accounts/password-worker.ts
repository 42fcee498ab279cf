import bcrypt from 'bcryptjs'

export type PasswordTask = { password: string; cost: number } | { password: string; hash: string }

/** Makes a hash where a cost is given, compares where a hash is. */
export default function run (task: PasswordTask): string | boolean {
  return 'cost' in task ? bcrypt.hashSync(task.password, task.cost) : bcrypt.compareSync(task.password, task.hash)
}
