// When the stage experiment injects nothing. test/unit/experiments tests what it does otherwise.
import { expect, test } from 'vitest'
import { createRecorder } from '../../../src/report/recorder.ts'
import { emptyReport, type Report } from '../../../src/report/report.ts'
import type { StageContext } from '../../../src/stages/context.ts'
import { experiment, runUntilOneIsLeft } from '../../../src/stages/experiment.ts'
import type { EndedState, Recovery } from '../../../src/experiments/state/types.ts'
import { clusterWith, configOf } from '../fixtures.ts'

const text = 'experiments: { trial: { service: front, inject: { abort: { status: 503, service: shop } } } }'

const managedByArgoCd = { 'argocd.argoproj.io/tracking-id': 'web:networking.istio.io/DestinationRule:default/shop' }

/** A cluster that refuses every call. */
function contextFor(config: string, error?: string) {
  const lines: string[] = []
  const recorder = createRecorder(emptyReport('shop', new Date(0), false))
  if (error !== undefined) recorder.record({ error })
  const host = { signal: new AbortController().signal, info: (line: string) => void lines.push(line) }
  const context = { cluster: clusterWith({}), config: configOf(config), recorder, host }
  return { context: context as unknown as StageContext, lines }
}

test('a dry run injects nothing', async () => {
  const { context, lines } = contextFor(`${text}\ndryRun: true`)
  expect(await experiment(context)).toEqual({ changed: false })
  expect(lines).toEqual(['trial: a dry run injects nothing'])
})

test('a run that has failed injects nothing: the fault would hide the cause', async () => {
  const { context, lines } = contextFor(text, 'the canary of front was not promoted')
  expect(await experiment(context)).toEqual({ changed: false })
  expect(lines).toEqual(['the experiments did not run, because the run has failed before'])
})

test.each(['front', 'shop'])('says that it does not run while the promotion of %s is held', async (service) => {
  const { context } = contextFor(`canary: { service: ${service} }\n${text}`)
  context.recorder.record({ promotions: [{ service, verdict: 'held' }] as Report['promotions'] })
  const warnings: string[] = []
  Object.assign(context.host, { warning: (line: string) => warnings.push(line) })
  context.cluster.list = () => Promise.resolve([])
  expect(await experiment(context)).toEqual({ changed: false })
  expect(warnings).toEqual([
    `the experiment trial did not run, because the promotion of ${service} is not over; it runs after the run that ends it`,
  ])
})

test('runs while a controller waits for the approval of its rollout', async () => {
  const { context } = contextFor(`canary: { service: front, engine: flagger }\n${text}`)
  context.recorder.record({ promotions: [{ service: 'front', verdict: 'held' }] as Report['promotions'] })
  const warnings: string[] = []
  Object.assign(context.host, { warning: (line: string) => warnings.push(line) })
  context.cluster.list = () => Promise.resolve([])
  // The experiment begins, and this cluster refuses it.
  await expect(experiment(context)).rejects.toThrow()
  expect(warnings).toEqual([])
})

test('warns of a GitOps controller that manages the rule which an overload changes', async () => {
  const { context } = contextFor('experiments: { trial: { service: shop, inject: { overload: {} } } }')
  const rule = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'DestinationRule',
    metadata: { name: 'shop', namespace: context.config.namespace, annotations: managedByArgoCd },
    spec: { host: 'shop' },
  }
  const warnings: string[] = []
  Object.assign(context.host, { warning: (line: string) => warnings.push(line) })
  context.cluster.list = (kind) => Promise.resolve((kind === 'DestinationRule' ? [rule] : []) as never)
  await expect(experiment(context)).rejects.toThrow()
  expect(warnings.join()).toContain('DestinationRule')
})

test('no experiment follows one whose fault is not removed', async () => {
  const ran: string[] = []
  const recoveries: Record<string, Recovery> = {
    one: { kind: 'confirmed', seconds: 3 },
    two: { kind: 'unconfirmed', problem: 'no user called', isRemoved: true },
    three: { kind: 'unconfirmed', problem: 'the fault could not be removed', isRemoved: false },
  }
  const skipped = await runUntilOneIsLeft(['one', 'two', 'three', 'four'], (name) => {
    ran.push(name)
    return Promise.resolve({ state: { recovery: recoveries[name]! } as EndedState })
  })
  expect(ran).toEqual(['one', 'two', 'three'])
  expect(skipped).toEqual(['four'])
})
