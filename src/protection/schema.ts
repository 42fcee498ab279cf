import { Type, type Static } from '@sinclair/typebox'
import type { DrmLicences } from './provider.js'

const address = (description: string) =>
  Type.String({ description, examples: ['https://license.mux.com/license/widevine/…?token=…'] })

/** The licences that a player needs for a media with DRM. */
export const DrmReply = Type.Object(
  {
    token: Type.String({ description: 'The token of the licences. The URLs include it.' }),
    widevine: address('Licence URL for Chrome, Firefox, Edge and Android.'),
    playready: address('Licence URL for Edge and Xbox.'),
    fairplay: address('Licence URL for Safari.'),
    fairplay_certificate: address('The certificate with which Safari requests a licence.')
  },
  { description: 'The licences of a media that is protected by DRM. They expire with the link.' }
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
