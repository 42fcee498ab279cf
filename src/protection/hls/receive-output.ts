import type { Readable } from 'node:stream'
import type { BlobStore, Draft } from '../../storage/blob-store.js'
import { toPackagingError, Unpackageable } from './unpackageable.js'

/**
 * Stores the output of a program as a draft of at most `maxBytes`. An abort destroys the output, which kills the
 * program. **Throws** {@link Unpackageable} for a fault of the file, and errors of the store unchanged.
 */
export async function receiveOutput (
  blobs: BlobStore,
  output: Readable,
  maxBytes: number,
  signal: AbortSignal
): Promise<Draft> {
  const interrupt = () => {
    output.destroy(new Error('the job was interrupted'))
  }
  signal.addEventListener('abort', interrupt)
  if (signal.aborted) interrupt()
  let left = maxBytes
  try {
    return await blobs.receive(output, (bytes) => {
      if ((left -= bytes) < 0) throw new Unpackageable('source_inflated')
    })
  } catch (error) {
    // The store does not destroy its source. Without this, the program would continue.
    output.destroy()
    throw toPackagingError(error)
  } finally {
    signal.removeEventListener('abort', interrupt)
  }
}
