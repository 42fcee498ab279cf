import type { Readable } from 'node:stream'
import type { ReadableFile } from './open-files.js'

/**
 * An incoming file. It is hidden until it is published. The sweep of this process ignores it until `discard`, which
 * must be called at the end.
 */
export interface Draft {
  /** The path from which a probe may read it. */
  readonly path: string
  readonly sizeBytes: number
  /** SHA-256 of the content, hex. */
  readonly sha256: string
  /** Whether the size already counts in the quota of the owner. */
  readonly isReserved?: boolean
  /**
   * Makes the draft permanent and returns its name. A power cut does not lose it after that. **Throws** as
   * {@link BlobStore.receive} does; the draft is then deleted.
   */
  publish(): Promise<string>
  /** Releases the draft, and removes it unless it was published. Never throws. */
  discard(): Promise<void>
}

/** A draft that a thread or a program fills at its path. */
export type OpenDraft = Pick<Draft, 'path' | 'publish' | 'discard'>

/** Writes the end of a draft that several requests write, one after another. Its upload's row names the draft. */
export interface DraftWriter {
  /** The position after the last byte that was written to the file. */
  readonly position: number
  /** Adds a chunk. Chunks are written in blocks of 1 MiB. */
  write(chunk: Buffer): Promise<void>
  /** Writes the rest of the chunks. */
  flush(): Promise<void>
  /** Syncs the file. Returns the position before the sync: a power cut does not lose the bytes before it. */
  sync(): Promise<number>
  close(): Promise<void>
}

/** An item in the store, for the sweep. `fingerprint` changes while the item is being written. */
export interface StoredItem {
  kind: 'draft' | 'blob'
  name: string
  sizeBytes: number
  fingerprint: string
  /** Whether a blob is marked as committed; false for a draft. */
  committed: boolean
}

/** A store for the bytes of media. Names are random, so a path contains no input of a client. */
export interface BlobStore {
  /**
   * Writes a stream to a draft. `admit` is called before each chunk is written, and throws if the stream is too large.
   * **Throws** `storage_full` (507) if the disk is full, and `storage_unavailable` (503) if the disk fails. The draft
   * is then deleted.
   */
  receive(source: Readable, admit: (bytes: number) => void): Promise<Draft>
  /** Returns a draft for a thread or a program, which creates the file at `path` and closes it before `publish`. */
  reserve(): OpenDraft
  /**
   * Opens a draft at its end. Creates it if `sizeBytes` is 0, and else cuts it to `sizeBytes`. Returns undefined if the
   * draft is missing or shorter. **Throws** as {@link BlobStore.receive} does.
   */
  openDraft(name: string, sizeBytes: number): Promise<DraftWriter | undefined>
  /**
   * Measures a draft that {@link BlobStore.openDraft} filled. Its `discard` keeps the file, until
   * {@link BlobStore.removeDraft}.
   */
  completeDraft(name: string): Promise<Draft>
  /** Opens a blob for reading. The caller must close it. Undefined if the blob does not exist. */
  open(name: string): Promise<ReadableFile | undefined>
  /** Returns the path of a published blob, for a program that needs a path. */
  pathOf(name: string): string
  remove(name: string): Promise<void>
  /**
   * Marks a blob whose row is durable. The sweep keeps the blob even if the database loses the row. Never throws. A
   * blob without the mark becomes orphaned if its row is lost.
   */
  markCommitted(name: string): Promise<void>
  /** Removes the mark of a blob that is about to lose its row. Never throws. */
  unmarkCommitted(name: string): Promise<void>
  /** Returns whether a blob exists and is marked. */
  isCommitted(name: string): Promise<boolean>
  removeDraft(name: string): Promise<void>
  /** Lists all items, except the drafts of this process before their `discard`, published or not. */
  list(): AsyncIterable<StoredItem>
  /** Returns the id of this store. A store without an id gets `fresh`, if that is defined. */
  identity(fresh: string | undefined): Promise<string | undefined>
  /** Returns the number of scans for orphaned files that {@link BlobStore.setSweepCount} set last, or 0 if none. */
  sweepCount(): Promise<number>
  setSweepCount(count: number): Promise<void>
  /** **Throws** if files cannot be created in this store. */
  check(): Promise<void>
  /** Closes the open files. The store must not be read after that. */
  close(): Promise<void>
}
