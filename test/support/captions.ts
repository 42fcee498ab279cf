import type { Response } from 'light-my-request'
import type { TestApp } from './test-app.js'
import { succeeded, type Person } from './client.js'

export const VTT = 'WEBVTT\n\n00:00.000 --> 00:01.000\nHello\n'
/** The body of a request that stores captions. */
export const captionBody = { payload: VTT, headers: { 'content-type': 'text/vtt' } }
export const chapterList = [{ start_seconds: 0, title: 'Start' }]

/** Stores captions. `path` is the language, and may have a query. */
export async function putCaptions (
  server: Pick<TestApp, 'inject'>,
  mediaId: string,
  person: Person,
  { path = 'en', text = VTT, type = 'text/vtt' }: { path?: string; text?: string | Buffer; type?: string } = {}
): Promise<Response> {
  const headers = { ...person.headers, 'content-type': type }
  return await server.inject({ method: 'PUT', url: `/media/${mediaId}/captions/${path}`, headers, payload: text })
}

/** Gives a media English captions and a chapter. */
export async function addTexts (server: Pick<TestApp, 'inject'>, mediaId: string, person: Person): Promise<void> {
  succeeded(await putCaptions(server, mediaId, person))
  const url = `/media/${mediaId}/chapters`
  succeeded(await server.inject({ method: 'PUT', url, headers: person.headers, payload: chapterList }))
}
