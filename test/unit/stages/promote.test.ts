import { describe, expect, test, vi } from 'vitest'
import { promote } from '../../../src/canary/promote.ts'
import { PromotionsStopped } from '../../../src/canary/waves.ts'
import type { Promotion } from '../../../src/canary/controller/context.ts'
import { promoteCanaries } from '../../../src/stages/promote.ts'
import { prepareReleases } from '../../../src/stages/release.ts'
import { skippedState } from '../../../src/canary/state/start.ts'
import { canariesOf } from '../../../src/config/names.ts'
import { createRecorder } from '../../../src/report/recorder.ts'
import { emptyReport } from '../../../src/report/report.ts'
import type { StageContext } from '../../../src/stages/context.ts'
import { noTelemetry } from '../../../src/run-telemetry/telemetry.ts'
import { clusterWith, configOf, serve } from '../fixtures.ts'

// The promotions and the releases have tests of their own. Here they only end.
vi.mock('../../../src/canary/promote.ts')
vi.mock('../../../src/stages/release.ts')

describe('a promotion that fails', () => {
  const newRecorder = () => createRecorder(emptyReport('shop', new Date(), false))

  async function errorOf(
    canary: string,
    ended: Partial<Promotion>,
    { section = '{}', recorder = newRecorder() } = {},
  ): Promise<string | undefined> {
    const config = configOf(`namespace: shop\ncanary: ${canary}\nobservability: ${section}`)
    vi.mocked(prepareReleases).mockResolvedValue({
      created: () => undefined,
      whyIdle: () => undefined,
      abandon: () => Promise.resolve(),
    })
    const plan = config.canary!
    vi.mocked(promote).mockResolvedValue([{ ...skippedState(plan, 0, 0, ''), ...ended, plan, namespace: 'shop' }])
    const host = { signal: new AbortController().signal, info: () => undefined, warning: () => undefined }
    const cluster = clusterWith({ list: () => Promise.resolve([]) })
    const redactor = { redact: (text: string) => text }
    const telemetry = noTelemetry()
    await promoteCanaries({ config, host, redactor, cluster, recorder, telemetry } as unknown as StageContext)
    return recorder.current().error
  }

  test.each(['{ service: till }', '{ service: till, image: "till:2" }'])(
    'is named by its service, whatever its canary is called: %s',
    async (canary) => {
      expect(await errorOf(canary, { verdict: 'rolled-back', reason: 'it crashed' })).toBe(
        'the canary of till was not promoted (rolled-back): it crashed',
      )
      expect(await errorOf(canary, { verdict: 'promoted', error: 'stable could not take over' })).toBe(
        'the canary of till was promoted, but stable could not take over',
      )
    },
  )

  test('is in the report before the run waits for Grafana', async () => {
    const recorder = newRecorder()
    const verdicts: unknown[] = []
    const { address } = await serve((_, response) => {
      verdicts.push(recorder.current().verdict)
      response.end('{}')
    })
    const section = `{ dashboards: { grafana: { url: "${address}", token: t } } }`
    await errorOf('{ service: till }', { verdict: 'rolled-back', reason: 'it crashed' }, { section, recorder })
    expect(verdicts).toEqual(['rolled-back'])
  })
})

test('canaries that have ended are in the report if a later one cannot start', async () => {
  const config = configOf('namespace: shop\ncanaries: [{ service: desk }, { service: till, wave: 2 }]')
  const [plan] = canariesOf(config)
  vi.mocked(prepareReleases).mockResolvedValue({
    created: () => undefined,
    whyIdle: () => undefined,
    abandon: () => Promise.resolve(),
  })
  const promoted = { ...skippedState(plan!, 100, 0, 'every step passed its checks'), verdict: 'promoted' as const }
  const problem = new Error('till has no route with both versions')
  vi.mocked(promote).mockRejectedValue(
    new PromotionsStopped(problem, [{ ...promoted, plan: plan!, namespace: 'shop' }]),
  )
  const recorder = createRecorder(emptyReport('shop', new Date(), false))
  const promotion = promoteCanaries({
    config,
    host: { signal: AbortSignal.abort(), info: () => undefined, warning: () => undefined },
    redactor: { redact: (text: string) => text },
    cluster: clusterWith({ list: () => Promise.resolve([]) }),
    recorder,
    telemetry: noTelemetry(),
  } as unknown as StageContext)
  await expect(promotion).rejects.toThrow(problem.message)
  expect(recorder.current()).toMatchObject({
    promotions: [{ service: 'desk', verdict: 'promoted', weight: 100 }],
    verdict: 'inconclusive',
    reason: problem.message,
  })
})

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
      {
        ...skippedState(second!.plan, weight, 0, 'the canary of desk was not promoted'),
        ...second!,
        notStarted: 'prevented',
      },
    ])
    const host = { signal: new AbortController().signal, info: () => undefined, warning: () => undefined }
    await promoteCanaries({
      config,
      host,
      redactor: { redact: (text: string) => text },
      cluster: clusterWith({ list: () => Promise.resolve([]) }),
      recorder: createRecorder(emptyReport('shop', new Date(), false)),
      telemetry: noTelemetry(),
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
