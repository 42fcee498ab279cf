import { entityTag } from '../playback/conditional.js'
import type { Media } from './schema.js'

/** A file that a media is played or downloaded from. `etag` is a strong entity tag with its quotes. */
export interface MediaFile {
  blobName: string
  contentType: string
  sizeBytes: number
  etag: string
  /** Epoch milliseconds. */
  lastModified: number
}

/** Returns the uploaded file of a media. Undefined for a media that is hosted elsewhere. */
export function originalFile ({ blobName, contentType, sizeBytes, sha256, createdAt }: Media): MediaFile | undefined {
  if (blobName === null) return undefined
  const etag = entityTag(sha256!)
  return { blobName, contentType: contentType!, sizeBytes: sizeBytes!, etag, lastModified: createdAt }
}

/**
 * Returns the file of the plain stream: the rendition as soon as it is ready, else the uploaded file. The random name
 * of a rendition identifies its bytes. Undefined for a media that is hosted elsewhere.
 */
export function playedFile (media: Media): MediaFile | undefined {
  const { file = null } = media.rendition ?? {}
  if (file === null) return originalFile(media)
  const { blobName, contentType, sizeBytes, madeAt } = file
  return { blobName, contentType, sizeBytes, etag: `"${blobName}"`, lastModified: madeAt }
}

/** Returns the names of the blobs that were made of the file of a media. No other media shares them. */
export function madeBlobs ({ packaged, posterBlob, rendition }: Media): string[] {
  const names = [packaged?.blobName, posterBlob, rendition?.file?.blobName]
  return names.filter((name): name is string => typeof name === 'string')
}
