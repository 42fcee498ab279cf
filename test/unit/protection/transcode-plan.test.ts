import t from 'tap'
import { encodeAll, planAfter, type TranscodePlan } from '../../../src/protection/hls/transcode-plan.js'

const size = { width: 160, height: 90 }

t.test('after a plan failed, everything is encoded once more', async (t) => {
  const copied = { index: 1, copy: true }
  const encoded = { index: 1, copy: false }
  const cases: Array<[plan: TranscodePlan, next: TranscodePlan | undefined]> = [
    [{ video: copied, audio: encoded, size }, { video: encoded, audio: encoded, size: undefined }],
    [{ video: encoded, audio: copied, endsAt: 4 }, { video: encoded, audio: encoded, size: undefined, endsAt: 4 }],
    [{ audio: copied }, { video: undefined, audio: encoded, size: undefined }],
    [{ video: encoded, audio: encoded, size, endsAt: 4 }, { ...encodeAll('video'), endsAt: 4 }],
    [encodeAll('video'), undefined],
    [encodeAll('audio'), undefined]
  ]
  for (const [plan, next] of cases) t.same(planAfter(plan, 'video'), next)
})
