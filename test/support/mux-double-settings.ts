import { Type, type Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type Mux from '@mux/mux-node'

const policy = Type.Union([Type.Literal('public'), Type.Literal('signed'), Type.Literal('drm')])

/** What this product may send of the parameters that Mux has. */
const UploadParams = Type.Object(
  {
    cors_origin: Type.String(),
    timeout: Type.Optional(Type.Integer({ minimum: 60, maximum: 604_800 })),
    test: Type.Optional(Type.Boolean()),
    new_asset_settings: Type.Object(
      {
        playback_policies: Type.Optional(Type.Array(policy)),
        advanced_playback_policies: Type.Optional(
          Type.Array(
            Type.Object({ policy, drm_configuration_id: Type.Optional(Type.String()) }, { additionalProperties: false })
          )
        ),
        passthrough: Type.Optional(Type.String({ maxLength: 255 })),
        video_quality: Type.Optional(Type.Union([Type.Literal('basic'), Type.Literal('plus'), Type.Literal('premium')]))
      },
      { additionalProperties: false }
    )
  },
  { additionalProperties: false }
)

// It compiles only while each of them is what the SDK says it is.
const typed = (params: Static<typeof UploadParams>): Mux.Video.UploadCreateParams => params

/** Why Mux would not take the parameters of an upload; empty if it would. */
export function settingsProblems (body: unknown, drmConfigurationId: string): string[] {
  const wrong = [...Value.Errors(UploadParams, body)].map(
    ({ path, message }) => `${path.slice(1).replaceAll('/', '.')}: ${message}`
  )
  if (wrong.length > 0) return wrong
  const {
    playback_policies: simple,
    advanced_playback_policies: advanced,
    video_quality: quality
  } = typed(body as Static<typeof UploadParams>).new_asset_settings!
  if (simple !== undefined && advanced !== undefined) {
    return ['playback_policies and advanced_playback_policies are mutually exclusive']
  }
  if (simple?.includes('drm')) return ['advanced_playback_policies must be used for DRM playback policies']
  return (advanced ?? []).flatMap(({ policy, drm_configuration_id: drm }) => {
    if (policy !== 'drm') return drm === undefined ? [] : ['drm_configuration_id must only be set when policy is drm']
    if (drm === undefined) return ['drm_configuration_id is required when policy is drm']
    if (quality === 'basic') return ['DRM is not available for the basic video quality']
    return drm === drmConfigurationId ? [] : ['drm_configuration_id is not known']
  })
}
