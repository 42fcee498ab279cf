import type { Insertable, Selectable } from 'kysely'
import { fold } from '../database/fold.js'
import type { MediaTable } from '../database/tables.js'
import type { Track } from './media-formats.js'
import type { Rendition, RenditionFile } from './rendition.js'
import type { Media } from './schema.js'

/** Returns the row of a new media. */
export function rowOf (media: Media): Insertable<MediaTable> {
  return {
    id: media.id,
    owner_id: media.ownerId,
    title: media.title,
    title_search: fold(media.title),
    type: media.type,
    visibility: media.visibility,
    status: media.status,
    file_url: media.fileUrl,
    blob_name: media.blobName,
    content_type: media.contentType,
    size_bytes: media.sizeBytes,
    sha256: media.sha256,
    duration_ms: media.durationMs,
    width: media.width,
    height: media.height,
    codecs: JSON.stringify(media.codecs),
    tracks: media.tracks === null ? null : JSON.stringify(media.tracks),
    generation: media.generation,
    protection: media.protection,
    progress: media.progress,
    error_code: media.error?.code ?? null,
    error_message: media.error?.message ?? null,
    package_blob: media.packaged?.blobName ?? null,
    content_key: media.packaged?.contentKey ?? null,
    poster_blob: media.posterBlob,
    provider: media.provider,
    mux_upload_id: media.mux?.uploadId ?? null,
    mux_asset_id: media.mux?.assetId ?? null,
    mux_playback_id: media.mux?.playbackId ?? null,
    mux_policy: media.mux?.policy ?? null,
    playable_everywhere: media.playableEverywhere === null ? null : Number(media.playableEverywhere),
    ...renditionColumns(media.rendition),
    created_at: media.createdAt,
    updated_at: media.updatedAt,
    deleted_at: null
  }
}

export function mediaOf (row: Selectable<MediaTable>): Media {
  return {
    id: row.id,
    ownerId: row.owner_id,
    title: row.title,
    type: row.type,
    visibility: row.visibility,
    status: row.status,
    fileUrl: row.file_url,
    blobName: row.shared_blob ?? row.blob_name,
    contentType: row.content_type,
    sizeBytes: row.size_bytes,
    sha256: row.sha256,
    durationMs: row.duration_ms,
    width: row.width,
    height: row.height,
    codecs: JSON.parse(row.codecs) as string[],
    tracks: row.tracks === null ? null : (JSON.parse(row.tracks) as Track[]),
    generation: row.generation,
    protection: row.protection,
    progress: row.progress,
    error: row.error_code === null ? null : { code: row.error_code, message: row.error_message ?? '' },
    packaged: row.package_blob === null ? null : { blobName: row.package_blob, contentKey: row.content_key! },
    posterBlob: row.poster_blob,
    provider: row.provider,
    mux:
      row.mux_policy === null
        ? null
        : {
            uploadId: row.mux_upload_id,
            assetId: row.mux_asset_id,
            playbackId: row.mux_playback_id,
            policy: row.mux_policy
          },
    playableEverywhere: row.playable_everywhere === null ? null : row.playable_everywhere === 1,
    rendition: renditionOf(row),
    createdAt: row.created_at,
    updatedAt: row.updated_at
  }
}

type RenditionColumns = Pick<
  MediaTable,
  'rendition_status' | 'rendition_progress' | 'rendition_blob' | 'rendition_facts'
>

export function renditionColumns (rendition: Rendition | null): RenditionColumns {
  if (rendition === null) {
    return { rendition_status: null, rendition_progress: null, rendition_blob: null, rendition_facts: null }
  }
  const { status, progress, file, error } = rendition
  const { blobName = null, ...facts } = file ?? {}
  const shown = file === null ? error : facts
  return {
    rendition_status: status,
    rendition_progress: progress,
    rendition_blob: blobName,
    rendition_facts: shown === null ? null : JSON.stringify(shown)
  }
}

function renditionOf (row: RenditionColumns): Rendition | null {
  const { rendition_status: status, rendition_blob: blobName } = row
  if (status === null) return null
  const facts = row.rendition_facts === null ? null : (JSON.parse(row.rendition_facts) as object)
  const file = blobName === null ? null : { ...(facts as Omit<RenditionFile, 'blobName'>), blobName }
  return {
    status,
    progress: row.rendition_progress ?? 0,
    file,
    error: status === 'failed' ? (facts as Rendition['error']) : null
  }
}
