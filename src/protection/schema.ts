import { Type, type Static } from '@sinclair/typebox'
import type { DrmLicences } from './provider.js'

const address = (description: string) =>
  Type.String({ description, examples: ['https://license.mux.com/license/widevine/…?token=…'] })

/** What a player needs for a media that is protected by DRM. */
export const DrmReply = Type.Object(
  {
    token: Type.String({ description: 'Opens the licences; the addresses carry it already.' }),
    widevine: address('Where Chrome, Firefox, Edge and Android get a licence.'),
    playready: address('Where Edge and Xbox get a licence.'),
    fairplay: address('Where Safari gets a licence.'),
    fairplay_certificate: address("The certificate that Safari's request for a licence is made with.")
  },
  { description: 'Of a media that is protected by DRM: where its licences come from. They end with the link.' }
)

export function drmReply ({
  token,
  widevine,
  playready,
  fairplay,
  fairplayCertificate
}: DrmLicences): Static<typeof DrmReply> {
  return { token, widevine, playready, fairplay, fairplay_certificate: fairplayCertificate }
}
