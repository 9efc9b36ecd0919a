// What the stages write outside the cluster: files on the runner, and to a stand-in for Grafana.
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Promotion } from '../../../src/canary/controller/context.ts'
import type { PromotionProgress } from '../../../src/canary/active-promotion.ts'
import { dashboards } from '../../../src/observability/dashboards/index.ts'
import { outputFaults } from '../../../src/observability/outputs.ts'
import { ownerOf } from '../../../src/policies/owned-objects.ts'
import { createRecorder } from '../../../src/report/recorder.ts'
import { emptyReport } from '../../../src/report/report.ts'
import { createRedactor } from '../../../src/runtime/redaction.ts'
import { promotionAnnotator } from '../../../src/stages/annotations.ts'
import type { StageContext } from '../../../src/stages/context.ts'
import { dashboardRemoval, planDashboardsInGrafana, writeDashboards } from '../../../src/stages/dashboards.ts'
import { observe } from '../../../src/stages/observe.ts'
import { configOf, serve, tempFolder } from '../fixtures.ts'
import { grafanaStandIn, type StandIn, token } from '../observability/grafana-stand-in.ts'
import { recordingCluster } from '../policies/recording-cluster.ts'

function contextFor(section: string, more = ''): StageContext & { lines: string[] } {
  const lines: string[] = []
  const line = (text: string) => void lines.push(text)
  const name = more.startsWith('name:') ? '' : 'name: shop\n'
  const config = configOf(`${name}namespace: shop\nobservability: ${section}\n${more}`)
  const host = { signal: new AbortController().signal, info: line, warning: line }
  const recorder = createRecorder(emptyReport('shop', new Date(0), false))
  const { cluster } = recordingCluster([])
  const redactor = createRedactor()
  return { cluster, config, recorder, redactor, host, lines, stages: ['observe'] } as unknown as StageContext & {
    lines: string[]
  }
}
const withGrafana = ({ url }: Pick<StandIn, 'url'>, own = token) =>
  `{ dashboards: { grafana: { url: "${url}", token: ${own} } } }`

describe('files', () => {
  test('are the dashboards and the rules, and no change of the cluster', async () => {
    const folder = tempFolder()
    const rules = join(folder, 'alerts.yaml')
    mkdirSync(join(folder, 'dashboards'))
    const context = contextFor(`{ dashboards: { files: ${folder}/dashboards }, alerts: { file: ${rules} } }`)
    expect(await observe(context)).toEqual({ changed: false })
    expect(readdirSync(join(folder, 'dashboards')).sort()).toEqual([
      'mesh-canary-canary.json',
      'mesh-canary-services.json',
    ])
    const text = readFileSync(join(folder, 'dashboards/mesh-canary-services.json'), 'utf8')
    expect(JSON.parse(text)).toEqual(dashboards[0]!.content)
    expect(readFileSync(rules, 'utf8')).toContain('alert: MeshSidecarDown')
  })

  test('are not written in a dry run', async () => {
    const folder = tempFolder()
    await observe(contextFor(`{ dashboards: { files: ${folder} } }`, 'dryRun: true'))
    expect(readdirSync(folder)).toEqual([])
  })

  test('need their folder', async () => {
    const { cluster, config } = contextFor(
      '{ dashboards: { files: /nowhere/a }, alerts: { file: /nowhere/b/alerts.yaml } }',
    )
    expect(await outputFaults(cluster, config, ownerOf(config), false)).toEqual([
      'observability.dashboards.files: the folder /nowhere/a does not exist on the runner; create it in an earlier step',
      'observability.alerts.file: the folder /nowhere/b does not exist on the runner; create it in an earlier step',
    ])
  })
})

describe('Grafana', () => {
  test('gets the dashboards once, and the report names them', async () => {
    const grafana = await grafanaStandIn()
    const first = contextFor(withGrafana(grafana))
    expect(await observe(first)).toEqual({ changed: true })
    expect(first.recorder.current().changes).toEqual([
      { kind: 'Grafana dashboard', namespace: '', name: 'Mesh services', action: 'created' },
      { kind: 'Grafana dashboard', namespace: '', name: 'Mesh canary', action: 'created' },
    ])
    const second = contextFor(withGrafana(grafana))
    expect(await observe(second)).toEqual({ changed: false })
    expect(second.recorder.current().changes).toEqual([])
  })

  test('gets nothing in a dry run, which says what would be written', async () => {
    const grafana = await grafanaStandIn()
    const context = contextFor(withGrafana(grafana), 'dryRun: true')
    expect(await observe(context)).toEqual({ changed: true })
    expect(grafana.dashboards.size).toBe(0)
    expect(context.lines).toContain('Grafana dashboard Mesh services: create')
  })

  test('that refuses the token is a fault before anything is written', async () => {
    const { cluster, config } = contextFor(withGrafana(await grafanaStandIn(), 'wrong'))
    expect(await outputFaults(cluster, config, ownerOf(config), false)).toEqual([
      expect.stringContaining('observability.dashboards.grafana.token: '),
    ])
  })
})

describe('a Grafana that does not work now', () => {
  const down = { url: 'http://127.0.0.1:2' }
  async function answering(status: number, body: string): Promise<Pick<StandIn, 'url'>> {
    const { address } = await serve((_, response) => void response.writeHead(status).end(body))
    return { url: address }
  }
  const faults = ({ cluster, config }: StageContext, delivers: boolean) =>
    outputFaults(cluster, config, ownerOf(config), delivers)

  test('is a fault of a run that does not promote', async () => {
    const context = contextFor(withGrafana(down))
    expect(await faults(context, false)).toEqual([expect.stringContaining('does not answer (ECONNREFUSED)')])
    await expect(observe(context)).rejects.toThrow('does not answer (ECONNREFUSED)')
  })

  test.each([
    ['nobody listens', () => Promise.resolve(down), 'does not answer'],
    ['a proxy answers for it', () => answering(503, '<html>no upstream</html>'), 'does not work now (HTTP 503)'],
  ])('costs a promotion its dashboards, and a warning: %s', async (_, grafana, message) => {
    const context = { ...contextFor(withGrafana(await grafana())), stages: ['observe', 'promote'] as const }
    expect(await faults(context, true)).toEqual([])
    expect(await observe(context)).toEqual({ changed: false })
    const { warnings } = context.recorder.current()
    expect(warnings).toEqual([expect.stringContaining('the dashboards are not written to Grafana')])
    expect(warnings[0]).toContain(message)
  })

  test('costs a promotion its dashboards also if another run writes them at the same time', async () => {
    const grafana = await grafanaStandIn()
    const context = { ...contextFor(withGrafana(grafana)), stages: ['observe', 'promote'] as const }
    const plan = await planDashboardsInGrafana(context)
    await observe(contextFor(withGrafana(grafana), 'name: other'))
    await writeDashboards(context, plan)
    expect(context.recorder.current()).toMatchObject({
      changes: [],
      warnings: [expect.stringContaining('The dashboard has been changed by someone else')],
    })
  })

  test('is told from one that refuses, which stops a promotion too', async () => {
    expect(await faults(contextFor(withGrafana(await grafanaStandIn(), 'wrong')), true)).toHaveLength(1)
    expect(await faults(contextFor(withGrafana(await answering(200, '<html>Login</html>'))), true)).toHaveLength(1)
    const viewer = await grafanaStandIn({ rights: () => ({ 'dashboards:read': ['dashboards:*'] }) })
    expect(await faults(contextFor(withGrafana(viewer)), true)).toEqual([
      expect.stringContaining('observability.dashboards.grafana.token: it may not write dashboards to the root folder'),
    ])
  })
})

describe('an uninstall', () => {
  test('deletes the dashboards of its config, and a dry run only names them', async () => {
    const grafana = await grafanaStandIn()
    await observe(contextFor(withGrafana(grafana)))
    const names = ['Grafana dashboard Mesh services', 'Grafana dashboard Mesh canary']
    expect(await (await dashboardRemoval(contextFor(withGrafana(grafana), 'dryRun: true')))()).toEqual(names)
    expect(grafana.dashboards.size).toBe(2)
    expect(await (await dashboardRemoval(contextFor(withGrafana(grafana))))()).toEqual(names)
    expect(grafana.dashboards.size).toBe(0)
  })

  test('leaves those of another config, which only notes whose they are', async () => {
    const grafana = await grafanaStandIn()
    await observe(contextFor(withGrafana(grafana)))
    const preview = contextFor(withGrafana(grafana), 'name: preview')
    expect(await observe(preview)).toEqual({ changed: false })
    expect(preview.recorder.current().warnings).toEqual([])
    expect(await (await dashboardRemoval(preview))()).toEqual([])
    expect(preview.lines).toContain(
      'the Grafana dashboard Mesh canary stays: it belongs to another config of mesh-canary (shop, namespace shop (UID unknown))',
    )
    expect(grafana.dashboards.size).toBe(2)
  })

  test('asks Grafana before it removes anything', async () => {
    await expect(dashboardRemoval(contextFor(withGrafana(await grafanaStandIn(), 'wrong')))).rejects.toThrow('HTTP 401')
  })
})

describe('the annotations of a promotion', () => {
  const canary = 'canary: { service: backend }'
  const progress = (context: StageContext, steps: object[]) =>
    ({ plan: context.config.canary, namespace: 'shop', state: { steps } }) as unknown as PromotionProgress
  const ended = (context: StageContext, steps: object[], verdict: string) =>
    ({
      ...{ plan: context.config.canary, namespace: 'shop', steps, verdict, reason: 'as the token s3cret-value says' },
    }) as unknown as Promotion
  const step = { kind: 'weight', weight: 5, shiftedAt: 1_000 }

  test('are its steps and its verdict, without secrets', async () => {
    const grafana = await grafanaStandIn()
    const context = contextFor(withGrafana(grafana), canary)
    context.redactor.learn(['s3cret-value'])
    const annotator = promotionAnnotator(context)
    annotator.follow([progress(context, [])])
    annotator.follow([progress(context, [step])])
    await annotator.end([ended(context, [step], 'promoted')])
    expect(grafana.annotations.map(({ text }) => text)).toEqual([
      'backend: v1 → v2, weight 5%',
      'backend: v1 → v2, promoted: as the token *** says',
    ])
  })

  test.each(['skipped', 'held'])('are none for a promotion that was not started: %s', async (verdict) => {
    const grafana = await grafanaStandIn()
    const context = contextFor(withGrafana(grafana), canary)
    await promotionAnnotator(context).end([{ ...ended(context, [], verdict), notStarted: 'prevented' }])
    expect(grafana.annotations).toEqual([])
  })

  test('that Grafana refuses are one warning', async () => {
    const context = contextFor(withGrafana(await grafanaStandIn(), 'wrong'), canary)
    const annotator = promotionAnnotator(context)
    annotator.follow([progress(context, [step])])
    await annotator.end([ended(context, [step], 'promoted')])
    expect(context.recorder.current().warnings).toEqual([
      expect.stringMatching(/^annotations of the promotion are missing in Grafana: .*HTTP 401/),
    ])
  })

  test('are none without a Grafana', async () => {
    const context = contextFor('{}', canary)
    const annotator = promotionAnnotator(context)
    annotator.follow([progress(context, [step])])
    await annotator.end([ended(context, [step], 'promoted')])
    expect(context.recorder.current().warnings).toEqual([])
  })
})
