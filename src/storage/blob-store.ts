import type { Readable } from 'node:stream'
import type { ReadableFile } from './open-files.js'

/**
 * A file on its way in. Nobody sees it until it is published; no sweep of this process touches it until `discard`,
 * which must be called in the end.
 */
export interface Draft {
  /** Where a probe may read it. */
  readonly path: string
  readonly sizeBytes: number
  /** SHA-256 of the content, hex. */
  readonly sha256: string
  /**
   * Makes it permanent and answers its name. After that a power cut does not lose it. Throws as
   * {@link BlobStore.receive}; it is then gone.
   */
  publish(): Promise<string>
  /** Releases it, and removes it unless it was published. Never throws. */
  discard(): Promise<void>
}

/** A draft that a thread or a program fills at its path. */
export type OpenDraft = Pick<Draft, 'path' | 'publish' | 'discard'>

/** Something in the store as a sweep sees it. `fingerprint` changes while it is being written. */
export interface StoredItem {
  kind: 'draft' | 'blob'
  name: string
  sizeBytes: number
  fingerprint: string
  /** Whether a blob is marked as committed; false for a draft. */
  committed: boolean
}

/** Where the bytes of media are kept. Names are random; nothing of a client's is part of a path. */
export interface BlobStore {
  /**
   * Writes a stream down as a draft. `admit` is asked for each chunk before it is written, and throws where it is too
   * much. Throws `storage_full` (507) where there is no room and `storage_unavailable` (503) where the disk fails. The
   * draft is gone then.
   */
  receive(source: Readable, admit: (bytes: number) => void): Promise<Draft>
  /** A draft for a thread or a program to fill: it makes the file at `path`, and is done with it before `publish`. */
  reserve(): OpenDraft
  /** A file to read from; the caller closes it. Undefined if there is no such blob. */
  open(name: string): Promise<ReadableFile | undefined>
  /** Where a published blob may be read by a program that needs a path. */
  pathOf(name: string): string
  remove(name: string): Promise<void>
  /**
   * Marks a blob whose row is durable. The sweep keeps it even if the database loses the row. Never throws: a blob
   * without the mark is orphaned when its row is lost.
   */
  markCommitted(name: string): Promise<void>
  /** Removes the mark of a blob that is about to lose its row. Never throws. */
  unmarkCommitted(name: string): Promise<void>
  /** Whether a blob exists and is marked. */
  isCommitted(name: string): Promise<boolean>
  removeDraft(name: string): Promise<void>
  /** Everything there is, but for the drafts of this process, published or not, that nobody has released. */
  list(): AsyncIterable<StoredItem>
  /** The id that this store carries; one that carries none is given `fresh`, if that is defined. */
  identity(fresh: string | undefined): Promise<string | undefined>
  /**
   * How often this store was looked through for left-overs, as {@link BlobStore.grow} was told last; 0 for a new one.
   */
  age(): Promise<number>
  grow(age: number): Promise<void>
  /** Throws unless a file can be made here. */
  check(): Promise<void>
  /** Releases what it holds open; nobody may read from it any more. */
  close(): Promise<void>
}
