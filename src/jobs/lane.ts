export interface WaitingTask {
  path: readonly string[]
  start(release: () => void): void
  refuse(error: Error): void
}

/** Waiting tasks of one key of a fair queue: in order, or by the next key of their paths in lanes that take turns. */
export class Lane {
  readonly #tasks: WaitingTask[] = []
  /** In the order of their turns; none is empty. */
  readonly #lanes = new Map<string, Lane>()
  #size = 0

  /** Tasks in this lane and below. */
  get size (): number {
    return this.#size
  }

  add (task: WaitingTask, depth = 0): void {
    this.#size++
    const key = task.path[depth]
    if (key === undefined) {
      this.#tasks.push(task)
      return
    }
    const lane = this.#lanes.get(key) ?? new Lane()
    this.#lanes.set(key, lane)
    lane.add(task, depth + 1)
  }

  /** Removes the task whose turn it is. The lane of that task goes behind the others if it has more. */
  next (): WaitingTask | undefined {
    if (this.#size === 0) return undefined
    this.#size--
    const [turn] = this.#lanes
    if (turn === undefined) return this.#tasks.shift()
    const [key, lane] = turn
    const task = lane.next()
    this.#lanes.delete(key)
    if (lane.size > 0) this.#lanes.set(key, lane)
    return task
  }

  /** Returns whether the task was in this lane. */
  remove (task: WaitingTask, depth = 0): boolean {
    const key = task.path[depth]
    const removed = key === undefined ? this.#removeOwn(task) : this.#lanes.get(key)?.remove(task, depth + 1) ?? false
    if (!removed) return false
    this.#size--
    if (key !== undefined && this.#lanes.get(key)?.size === 0) this.#lanes.delete(key)
    return true
  }

  /**
   * Returns the newest task of the longest lane, at each level. Of equally long lanes the newcomer's own loses, or else
   * the one whose turn is last. `newcomer` is what is left of the path of the newest task, if it is in this lane.
   */
  newestOfLongest (newcomer: readonly string[] = []): WaitingTask | undefined {
    const [key, ...below] = newcomer
    const own = key === undefined ? undefined : this.#lanes.get(key)
    let longest = own
    for (const lane of this.#lanes.values()) {
      if (longest === undefined || lane.size > longest.size) longest = lane
      else if (lane.size === longest.size && longest !== own) longest = lane
    }
    if (longest === undefined) return this.#tasks.at(-1)
    return longest.newestOfLongest(longest === own ? below : [])
  }

  #removeOwn (task: WaitingTask): boolean {
    const index = this.#tasks.indexOf(task)
    if (index >= 0) this.#tasks.splice(index, 1)
    return index >= 0
  }
}
