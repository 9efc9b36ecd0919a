// The stages inject and retire on a recordingCluster: the order of the writes when a move fails, and what is older than what. That all
// of it works on a real cluster is shown by test/e2e/revisions.test.ts.
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Kind, KubeObject, Pod, Workload } from '../../../src/cluster/objects.ts'
import { ambientFault } from '../../../src/mesh/inject.ts'
import { outdatedSidecars, type ControlPlane } from '../../../src/mesh/revisions.ts'
import { isOfOtherRevision, sidecarRevision } from '../../../src/mesh/sidecar.ts'
import { createRecorder } from '../../../src/report/recorder.ts'
import { emptyReport } from '../../../src/report/report.ts'
import { inject } from '../../../src/stages/inject.ts'
import { older } from '../../../src/stages/retire.ts'
import type { StageContext } from '../../../src/stages/context.ts'
import { configOf, pod, tempFolder, workload } from '../fixtures.ts'
import { recordingCluster } from '../policies/recording-cluster.ts'

const status = (revision: string) => ({ 'sidecar.istio.io/status': JSON.stringify({ revision }) })

describe('the revision of a sidecar', () => {
  test.each<[string, Pod, string | undefined]>([
    [
      'is what the injector wrote',
      pod({ metadata: { annotations: { ...status('canary'), 'istio.io/rev': 'x' }, labels: { 'istio.io/rev': 'y' } } }),
      'canary',
    ],
    [
      'or the annotation of an injector that wrote no status',
      pod({ metadata: { annotations: { 'istio.io/rev': 'canary' } } }),
      'canary',
    ],
    [
      'or one that says no revision in it',
      pod({ metadata: { annotations: { 'sidecar.istio.io/status': '{}', 'istio.io/rev': 'canary' } } }),
      'canary',
    ],
    ['or the label of a gateway', pod({ metadata: { labels: { 'istio.io/rev': 'canary' } } }), 'canary'],
    ['or is not known', pod({ metadata: { annotations: { 'sidecar.istio.io/status': 'odd' } } }), undefined],
  ])('%s', (_, each, revision) => {
    expect(sidecarRevision(each)).toBe(revision)
  })

  test.each<[string, Pod, string | undefined, boolean]>([
    ['of another', pod({ metadata: { annotations: status('old') } }), 'canary', true],
    ['of the same', pod({ metadata: { annotations: status('canary') } }), 'canary', false],
    ['of nobody knows whose', pod(), 'canary', false],
    ['where none is asked for', pod({ metadata: { annotations: status('old') } }), undefined, false],
    [
      'where there is no sidecar',
      pod({ metadata: { annotations: status('old') }, spec: { initContainers: [] } }),
      'canary',
      false,
    ],
  ])('is another or not: %s', (_, each, revision, other) => {
    expect(isOfOtherRevision(each, revision)).toBe(other)
  })
})

test('ambient mode of a namespace is a fault', () => {
  const namespace = (labels: Record<string, string>): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'shop', labels },
  })
  expect(ambientFault(namespace({ 'istio.io/dataplane-mode': 'ambient' }))).toMatch(
    /^namespace: shop has the label istio.io\/dataplane-mode=ambient/,
  )
  expect(ambientFault(namespace({ 'istio.io/dataplane-mode': 'none' }))).toBeUndefined()
})

describe('older than a control plane', () => {
  const plane = (revision: string, createdAt: string): ControlPlane => ({
    revision,
    version: '1.31.0',
    ready: true,
    createdAt,
  })
  const all = [
    plane('default', '2026-01-01T00:00:00Z'),
    plane('canary', '2026-02-01T00:00:00Z'),
    plane('next', '2026-03-01T00:00:00Z'),
  ]
  test.each<[string, string[]]>([
    ['next', ['default', 'canary']],
    ['canary', ['default']],
    ['default', []],
    ['other', []],
  ])('%s is what was there before it: %j', (revision, names) => {
    expect(older(all, revision).map((each) => each.revision)).toEqual(names)
  })
})

const stats = 'envoy_cluster_manager_cds_update_success{} 1\nenvoy_listener_manager_lds_update_success{} 1\n'
const istiod = (revision: string): Workload => ({
  ...workload('Deployment', `istiod-${revision}`),
  metadata: {
    name: `istiod-${revision}`,
    namespace: 'istio-system',
    labels: { app: 'istiod', 'istio.io/rev': revision },
  },
  spec: { selector: {}, template: { spec: { containers: [{ name: 'discovery', image: 'istio/pilot:1.31.0' }] } } },
})
const deployment = (name: string): Workload => {
  const one = workload('Deployment', name, { replicas: 1, updatedReplicas: 1, availableReplicas: 1 })
  return { ...one, spec: { ...one.spec, template: { ...one.spec.template, metadata: { labels: { app: name } } } } }
}
const tag = (name: string, revision: string): KubeObject => ({
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: 'MutatingWebhookConfiguration',
  metadata: { name, labels: { 'istio.io/tag': name, 'istio.io/rev': revision } },
})
const podOf = (app: string, revision: string) =>
  pod({ metadata: { name: `${app}-1`, labels: { app }, annotations: status(revision) } })

/**
 * A cluster in which restarted pods get the sidecar that the namespace's labels name, unless that is `broken` for them: then
 * the rollout does not end. The writes are noted, istioctl's commands among them.
 */
function world(
  yaml: string,
  labels: Record<string, string>,
  {
    broken,
    signal = new AbortController().signal,
    onRestart,
  }: { broken?: [string, string]; signal?: AbortSignal; onRestart?: () => void } = {},
) {
  const it = recordingCluster([
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels } },
    istiod('old'),
    istiod('canary'),
    tag('default', 'old'),
    tag('prod', 'old'),
    ...['a', 'b'].flatMap((name) => [deployment(name), podOf(name, 'old')]),
  ])
  const path = join(tempFolder(), 'istioctl')
  const log = `${path}.log`
  writeFileSync(log, '')
  writeFileSync(path, `#!/bin/sh\necho "$@" >> ${log}\n`)
  chmodSync(path, 0o755)
  const happened: string[] = []
  const commands = () => readFileSync(log, 'utf8').split('\n').filter(Boolean)
  const merge = (
    kind: Kind,
    namespace: string | undefined,
    name: string,
    body: { metadata?: { labels?: Record<string, string | null> } },
  ) => {
    const object = it.kept.get(`${kind} ${namespace ?? ''}/${name}`) as Workload
    if (kind === 'Namespace') {
      happened.push(`label ${JSON.stringify(body.metadata?.labels)}`)
      object.metadata.labels = Object.fromEntries(
        Object.entries({ ...object.metadata.labels, ...body.metadata?.labels }).filter(([, value]) => value !== null),
      ) as Record<string, string>
      return Promise.resolve({})
    }
    happened.push(`restart ${name}`)
    const set =
      commands()
        .findLast((line) => line.startsWith('tag set prod'))
        ?.split(' ')[4] ?? 'old'
    const names = it.kept.get('Namespace /shop')!.metadata.labels ?? {}
    const revision =
      names['istio-injection'] === 'enabled' ? 'old' : names['istio.io/rev'] === 'prod' ? set : names['istio.io/rev']!
    const isBroken = broken?.[0] === name && broken[1] === revision
    object.status = { ...object.status, availableReplicas: isBroken ? 0 : 1 }
    it.kept.set(`Pod shop/${name}-1`, podOf(name, revision))
    onRestart?.()
    return Promise.resolve({})
  }
  const recorder = createRecorder(emptyReport('shop', new Date(0), false))
  const quiet = () => undefined
  const running = {
    config: configOf(`namespace: shop\nworkloads: [deploy/a, deploy/b]\nverify: { timeout: 1ms }\n${yaml}`),
    host: { signal, tempDir: tempFolder(), info: quiet, warning: quiet },
    cluster: { ...it.cluster, merge, pod: () => Promise.resolve(stats), log: () => Promise.resolve('') },
    connection: { cliArgs: [] },
    stages: ['inject'],
    istioctl: { path, version: '1.31.0', cacheHit: true },
    recorder,
  } as unknown as StageContext
  return { running, happened, commands, kept: it.kept, report: recorder.current }
}

describe('pods that are overdue', () => {
  const of = (labels: Record<string, string>, pods: Pod[]) =>
    outdatedSidecars(
      recordingCluster([
        { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels } },
        tag('prod', 'canary'),
        ...pods,
      ]).cluster,
      'shop',
    )
  test.each<[string, Record<string, string>, Pod[], RegExp | undefined]>([
    [
      'are told',
      { 'istio.io/rev': 'prod' },
      [podOf('a', 'old'), podOf('b', 'canary')],
      /points to the control plane canary, but these pods still have sidecars of another one: a-1 \(old\); restart/,
    ],
    ['there are none', { 'istio.io/rev': 'prod' }, [podOf('b', 'canary')], undefined],
    ['there are none where none need a sidecar', {}, [podOf('a', 'old')], undefined],
  ])('%s', async (_, labels, pods, told) => {
    const found = await of(labels, pods)
    if (told) expect(found).toMatch(told)
    else expect(found).toBeUndefined()
  })
})

const toCanary = 'label {"istio.io/rev":"canary","istio-injection":null}'
const backToOld = 'label {"istio.io/rev":null,"istio-injection":"enabled"}'

describe('a namespace that moves to another revision', () => {
  test('is labelled first, then its workloads are restarted in their order', async () => {
    const { running, happened } = world('istio: { revision: canary }', { 'istio-injection': 'enabled' })
    expect(await inject(running)).toEqual({ changed: true })
    expect(happened).toEqual([toCanary, 'restart a', 'restart b'])
    happened.length = 0
    expect(await inject(running)).toEqual({ changed: false })
    expect(happened).toEqual([])
  })

  test('goes back when a workload does not start, and what was restarted before with it', async () => {
    const { running, happened, report } = world(
      'istio: { revision: canary }',
      { 'istio-injection': 'enabled' },
      { broken: ['b', 'canary'] },
    )
    await expect(inject(running)).rejects.toThrow(
      /Deployment\/b was not ready within 0.001 s .*\nso the namespace shop points to the revision old again, and Deployment\/a, Deployment\/b were restarted with its sidecars/,
    )
    expect(happened).toEqual([toCanary, 'restart a', 'restart b', backToOld, 'restart a', 'restart b'])
    expect(report().restarted).toEqual(['Deployment/a', 'Deployment/b', 'Deployment/a', 'Deployment/b'])
  })

  test('goes back when it is cancelled, without waiting', async () => {
    const controller = new AbortController()
    const { running, happened } = world(
      'istio: { revision: canary }',
      { 'istio-injection': 'enabled' },
      {
        broken: ['a', 'canary'],
        signal: controller.signal,
        onRestart: () => controller.abort(new Error('the run was cancelled')),
      },
    )
    await expect(inject(running)).rejects.toThrow(
      /points to the revision old again, and Deployment\/a are being restarted/,
    )
    expect(happened).toEqual([toCanary, 'restart a', backToOld, 'restart a'])
  })

  test('goes back with the tag, where it is the tag that moved', async () => {
    const { running, happened, commands } = world(
      'istio: { revision: canary, tag: prod }',
      { 'istio.io/rev': 'prod' },
      { broken: ['b', 'canary'] },
    )
    await expect(inject(running)).rejects.toThrow('points to the revision old again')
    expect(happened).toEqual(['restart a', 'restart b', 'restart a', 'restart b'])
    expect(commands()).toEqual([
      'tag set prod --revision canary --overwrite -y',
      'tag set prod --revision old --overwrite -y',
    ])
  })

  test('does not leave a tag behind that was new', async () => {
    const { running, commands } = world(
      'istio: { revision: canary, tag: stage }',
      { 'istio-injection': 'enabled' },
      { broken: ['a', 'stage'] },
    )
    await expect(inject(running)).rejects.toThrow('points to the revision old again')
    expect(commands()).toEqual(['tag set stage --revision canary --overwrite -y', 'tag remove stage -y'])
  })

  test('goes nowhere when there is no such control plane', async () => {
    const { running, happened } = world('istio: { revision: canari }', { 'istio-injection': 'enabled' })
    await expect(inject(running)).rejects.toThrow(
      'istio.revision: there is no control plane of the revision canari in the cluster (there are old, canary)',
    )
    expect(happened).toEqual([])
  })

  test('in a dry run is told and not touched', async () => {
    const { running, happened } = world('istio: { revision: canary }\ndryRun: true', { 'istio-injection': 'enabled' })
    expect(await inject(running)).toEqual({ changed: true })
    expect(happened).toEqual([])
  })
})
