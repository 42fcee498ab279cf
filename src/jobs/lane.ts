export interface WaitingTask {
  path: readonly string[]
  start(release: () => void): void
  refuse(error: Error): void
}

/**
 * The waiting tasks of a key in a fair queue. They wait in order, or in one lane for each next key of their paths.
 * Lanes take turns.
 */
export class Lane {
  readonly #tasks: WaitingTask[] = []
  /** The lanes are in the order of their turns. Empty lanes are removed. */
  readonly #lanes = new Map<string, Lane>()
  #size = 0

  /** Number of tasks in this lane and in the lanes below it. */
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

  /** Removes and returns the task whose turn it is. If its lane has more tasks, the lane moves to the end. */
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

  /** Removes a task. Returns false if the task is not in this lane. */
  remove (task: WaitingTask, depth = 0): boolean {
    const key = task.path[depth]
    const removed = key === undefined ? this.#removeOwn(task) : this.#lanes.get(key)?.remove(task, depth + 1) ?? false
    if (!removed) return false
    this.#size--
    if (key !== undefined && this.#lanes.get(key)?.size === 0) this.#lanes.delete(key)
    return true
  }

  /**
   * At each level, chooses the longest lane, and then returns its newest task. On a tie, chooses the lane of the
   * newcomer, or else the lane whose turn is last. `newcomer` is the rest of the path of the newest task, if that task
   * is in this lane.
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
