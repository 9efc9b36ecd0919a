import { describe, expect, test, vi } from 'vitest'
import { promote } from '../../../src/canary/promote.ts'
import { promoteCanaries } from '../../../src/stages/promote.ts'
import { prepareReleases } from '../../../src/stages/release.ts'
import { skippedState } from '../../../src/canary/state/start.ts'
import { canariesOf } from '../../../src/config/names.ts'
import { createRecorder } from '../../../src/report/recorder.ts'
import { emptyReport } from '../../../src/report/report.ts'
import type { StageContext } from '../../../src/stages/context.ts'
import { clusterWith, configOf } from '../fixtures.ts'

// The promotions and the releases have tests of their own. Here they only end.
vi.mock('../../../src/canary/promote.ts')
vi.mock('../../../src/stages/release.ts')

describe('a canary of a later wave, whose turn never comes', () => {
  /** Promotes two releases, of which the second is skipped at this weight. Returns which canaries were removed. */
  async function removed(weight: number): Promise<string[]> {
    const config = configOf(
      'namespace: shop\ncanaries: [{ service: desk, image: "desk:2" }, { service: till, image: "till:2", wave: 2 }]',
    )
    const gone: string[] = []
    vi.mocked(prepareReleases).mockResolvedValue({
      created: (service) => ({
        template: '',
        adoption: {} as never,
        cleanUp: () => Promise.resolve(`${service} is removed, the ${gone.push(service)}. time`),
      }),
      whyIdle: () => undefined,
      abandon: () => Promise.resolve(),
    })
    const [first, second] = canariesOf(config).map((plan) => ({ plan, namespace: 'shop' }))
    vi.mocked(promote).mockResolvedValue([
      { ...skippedState(first!.plan, 0, 0, ''), verdict: 'rolled-back', reason: 'it failed', ...first! },
      { ...skippedState(second!.plan, weight, 0, 'the canary of desk was not promoted'), ...second! },
    ])
    const host = { signal: new AbortController().signal, info: () => undefined, warning: () => undefined }
    await promoteCanaries({
      config,
      host,
      redactor: { redact: (text: string) => text },
      cluster: clusterWith({ list: () => Promise.resolve([]) }),
      recorder: createRecorder(emptyReport('shop', new Date(), false)),
    } as unknown as StageContext)
    return gone
  }

  test('is removed', async () => {
    expect(await removed(0)).toEqual(['till'])
  })

  test('stays if it has traffic already', async () => {
    expect(await removed(50)).toEqual([])
  })
})
