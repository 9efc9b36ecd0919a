// The stages inject and retire on a fake cluster: the order of the writes when a move fails, and which control planes
// are older. test/e2e/revisions.test.ts runs them on a real cluster.
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { Cluster, Selection } from '../../../src/cluster/client.ts'
import type { Kind, KubeObject, Pod, Workload } from '../../../src/cluster/objects.ts'
import { ambientFault } from '../../../src/mesh/inject.ts'
import { hasOlderSidecar, injectedVersion } from '../../../src/mesh/proxy-version.ts'
import { outdatedSidecars, type ControlPlane } from '../../../src/mesh/revisions.ts'
import { isOfOtherRevision, sidecarRevision } from '../../../src/mesh/sidecar.ts'
import { createRecorder } from '../../../src/report/recorder.ts'
import { emptyReport } from '../../../src/report/report.ts'
import { inject } from '../../../src/stages/inject.ts'
import { olderControlPlanes } from '../../../src/stages/retire.ts'
import type { StageContext } from '../../../src/stages/context.ts'
import { clusterWith, configOf, pod, tempFolder, workload } from '../fixtures.ts'
import { recordingCluster } from '../policies/recording-cluster.ts'

const status = (revision: string) => ({ 'sidecar.istio.io/status': JSON.stringify({ revision }) })

describe('the revision of a sidecar', () => {
  test.each<[string, Pod, string | undefined]>([
    [
      'is in the status that the injector wrote',
      pod({ metadata: { annotations: { ...status('canary'), 'istio.io/rev': 'x' }, labels: { 'istio.io/rev': 'y' } } }),
      'canary',
    ],
    [
      'is in the annotation of an injector that wrote no status',
      pod({ metadata: { annotations: { 'istio.io/rev': 'canary' } } }),
      'canary',
    ],
    [
      'is in the annotation when the status has no revision',
      pod({ metadata: { annotations: { 'sidecar.istio.io/status': '{}', 'istio.io/rev': 'canary' } } }),
      'canary',
    ],
    ['is in the label of a gateway', pod({ metadata: { labels: { 'istio.io/rev': 'canary' } } }), 'canary'],
    [
      'is unknown without any of these',
      pod({ metadata: { annotations: { 'sidecar.istio.io/status': 'odd' } } }),
      undefined,
    ],
  ])('%s', (_, each, revision) => {
    expect(sidecarRevision(each)).toBe(revision)
  })

  test.each<[string, Pod, string | undefined, boolean]>([
    ['differs if the status names another one', pod({ metadata: { annotations: status('old') } }), 'canary', true],
    [
      'does not differ if the status names the wanted one',
      pod({ metadata: { annotations: status('canary') } }),
      'canary',
      false,
    ],
    ['does not differ if it is unknown', pod(), 'canary', false],
    ['does not differ if no revision is wanted', pod({ metadata: { annotations: status('old') } }), undefined, false],
    [
      'does not differ if the pod has no sidecar',
      pod({ metadata: { annotations: status('old') }, spec: { initContainers: [] } }),
      'canary',
      false,
    ],
  ])('%s', (_, each, revision, other) => {
    expect(isOfOtherRevision(each, revision)).toBe(other)
  })
})

test('ambient mode of a namespace is an error', () => {
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

describe('older', () => {
  const plane = (revision: string, createdAt: string): ControlPlane => ({
    revision,
    version: '1.31.0',
    ready: true,
    createdAt,
    metadata: { name: `istiod-${revision}`, namespace: 'istio-system' },
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
  ])('returns for %s the control planes that are older: %j', (revision, names) => {
    expect(olderControlPlanes(all, revision).map((each) => each.revision)).toEqual(names)
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
const injector = (name: string, labels: Record<string, string>, [key, value]: readonly [string, string]): KubeObject =>
  Object.assign(
    {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'MutatingWebhookConfiguration',
      metadata: { name, labels },
    },
    {
      webhooks: [
        {
          name: 'namespace.sidecar-injector.istio.io',
          namespaceSelector: { matchExpressions: [{ key, operator: 'In', values: [value] }] },
        },
      ],
    },
  )
const tag = (name: string, revision: string): KubeObject =>
  injector(
    name,
    { 'istio.io/tag': name, 'istio.io/rev': revision },
    name === 'default' ? ['istio-injection', 'enabled'] : ['istio.io/rev', name],
  )
const webhookOf = (revision: string): KubeObject =>
  injector(`istio-sidecar-injector-${revision}`, { 'istio.io/rev': revision }, ['istio.io/rev', revision])
const podOf = (app: string, revision: string) =>
  pod({ metadata: { name: `${app}-1`, labels: { app }, annotations: status(revision) } })

/**
 * A cluster in which restarted pods get the sidecar of the revision that the labels of the namespace name. The rollout
 * of a workload does not complete if `broken` names it and the revision. All writes and calls of istioctl are recorded.
 */
function clusterWithWorkloads(
  yaml: string,
  labels: Record<string, string>,
  {
    broken,
    signal = new AbortController().signal,
    onRestart,
  }: { broken?: [string, string]; signal?: AbortSignal; onRestart?: () => void } = {},
) {
  const fake = recordingCluster([
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels } },
    istiod('old'),
    istiod('canary'),
    webhookOf('old'),
    webhookOf('canary'),
    tag('default', 'old'),
    tag('prod', 'old'),
    ...['a', 'b'].flatMap((name) => [deployment(name), podOf(name, 'old')]),
  ])
  const path = join(tempFolder(), 'istioctl')
  const log = `${path}.log`
  writeFileSync(log, '')
  writeFileSync(path, `#!/bin/sh\necho "$@" >> ${log}\n`)
  chmodSync(path, 0o755)
  const calls: string[] = []
  const commands = () => readFileSync(log, 'utf8').split('\n').filter(Boolean)
  const merge = (
    kind: Kind,
    namespace: string | undefined,
    name: string,
    body: { metadata?: { labels?: Record<string, string | null> } },
  ) => {
    const object = fake.stored.get(`${kind} ${namespace ?? ''}/${name}`) as Workload
    if (kind === 'Namespace') {
      calls.push(`label ${JSON.stringify(body.metadata?.labels)}`)
      object.metadata.labels = Object.fromEntries(
        Object.entries({ ...object.metadata.labels, ...body.metadata?.labels }).filter(([, value]) => value !== null),
      ) as Record<string, string>
      return Promise.resolve({})
    }
    calls.push(`restart ${name}`)
    const set =
      commands()
        .findLast((line) => line.startsWith('tag set prod'))
        ?.split(' ')[4] ?? 'old'
    const names = fake.stored.get('Namespace /shop')!.metadata.labels ?? {}
    const revision =
      names['istio-injection'] === 'enabled' ? 'old' : names['istio.io/rev'] === 'prod' ? set : names['istio.io/rev']!
    const isBroken = broken?.[0] === name && broken[1] === revision
    object.status = { ...object.status, availableReplicas: isBroken ? 0 : 1 }
    fake.stored.set(`Pod shop/${name}-1`, podOf(name, revision))
    onRestart?.()
    return Promise.resolve({})
  }
  const recorder = createRecorder(emptyReport('shop', new Date(0), false))
  const ignore = () => undefined
  const lines: string[] = []
  const context = {
    config: configOf(`namespace: shop\nworkloads: [deploy/a, deploy/b]\nverify: { timeout: 1ms }\n${yaml}`),
    host: { signal, tempDir: tempFolder(), info: (line: string) => lines.push(line), warning: ignore },
    cluster: { ...fake.cluster, merge, pod: () => Promise.resolve(stats), log: () => Promise.resolve('') },
    connection: { cliArgs: [] },
    stages: ['inject'],
    istioctl: { path, version: '1.31.0', cacheHit: true },
    recorder,
  } as unknown as StageContext
  return { context, calls, commands, lines, stored: fake.stored, report: recorder.current }
}

/** What istiod's injector works with. */
const injectorMap = (tag: string, revision?: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: {
    name: `istio-sidecar-injector${revision === undefined ? '' : `-${revision}`}`,
    namespace: 'istio-system',
  },
  ...{ data: { values: JSON.stringify({ global: { tag, proxy: { image: 'proxyv2' } } }) } },
})

const withImage = (of: Pod, tag: string, annotations = {}): Pod => ({
  ...of,
  metadata: { ...of.metadata, annotations: { ...of.metadata.annotations, ...annotations } },
  spec: {
    ...of.spec,
    initContainers: [
      { name: 'istio-proxy', image: `registry.test:5000/istio/proxyv2:${tag}`, restartPolicy: 'Always' },
    ],
  },
})

describe('a sidecar', () => {
  test.each<[string, string, boolean]>([
    ['of an older patch', '1.30.9', true],
    ['of an older image without a shell', '1.30.9-distroless', true],
    ['with a digest besides', `1.30.9@sha256:${'a'.repeat(64)}`, true],
    ['of a prerelease', '1.31.0-rc.1', true],
    ['of the same version', '1.31.0-distroless', false],
    ['of a newer version', '1.31.1', false],
    ['whose tag is no version', 'latest', false],
  ])('%s is older than 1.31.0: %s, %s', (_, tag, isOlder) => {
    expect(hasOlderSidecar(withImage(pod(), tag), '1.31.0')).toBe(isOlder)
  })

  test('with an image of the user stays, and so does any if the version is unknown', () => {
    const chosen = { 'sidecar.istio.io/proxyImage': 'registry.test/proxy:1.20.0' }
    expect(hasOlderSidecar(withImage(pod(), '1.20.0', chosen), '1.31.0')).toBe(false)
    expect(hasOlderSidecar(withImage(pod(), '1.20.0'), undefined)).toBe(false)
    expect(hasOlderSidecar(pod({ spec: { initContainers: [] } }), '1.31.0')).toBe(false)
  })
})

describe('the version of injected sidecars', () => {
  test.each<[string, KubeObject[], string | undefined]>([
    ['is that of the revision', [injectorMap('1.30.0'), injectorMap('1.31.0', 'canary')], '1.31.0'],
    ['is unknown without the injector', [injectorMap('1.30.0')], undefined],
    ['is unknown if the tag is none', [injectorMap('main', 'canary')], undefined],
  ])('%s', async (_, objects, version) => {
    expect(await injectedVersion(recordingCluster(objects).cluster, 'canary')).toBe(version)
  })

  test('is unknown to an account that may not read it', async () => {
    const get = () => Promise.reject(new ApiError(403, 'forbidden'))
    expect(await injectedVersion(clusterWith({ get }), 'default')).toBeUndefined()
  })
})

describe('the check for outdated sidecars', () => {
  const of = (labels: Record<string, string>, pods: Pod[]) =>
    outdatedSidecars(
      recordingCluster([
        { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels } },
        tag('prod', 'canary'),
        injectorMap('1.31.0', 'canary'),
        ...pods,
      ]).cluster,
      'shop',
    )
  test.each<[string, Record<string, string>, Pod[], RegExp | undefined]>([
    [
      'lists the pods with sidecars of an older version than the control plane injects',
      { 'istio.io/rev': 'prod' },
      [withImage(podOf('a', 'canary'), '1.30.2'), withImage(podOf('b', 'canary'), '1.31.0')],
      /canary injects sidecars of the version 1\.31\.0, but these pods still have older ones: a-1 \(1\.30\.2\); restart/,
    ],
    [
      'lists the pods with sidecars of another control plane',
      { 'istio.io/rev': 'prod' },
      [podOf('a', 'old'), podOf('b', 'canary')],
      /points to the control plane canary, but these pods still have sidecars of another one: a-1 \(old\); restart/,
    ],
    ['reports nothing if there are none', { 'istio.io/rev': 'prod' }, [podOf('b', 'canary')], undefined],
    ['reports nothing if no pod needs a sidecar', {}, [podOf('a', 'old')], undefined],
  ])('%s', async (_, labels, pods, message) => {
    const found = await of(labels, pods)
    expect(found).toEqual(message ? [expect.stringMatching(message)] : [])
  })
})

const toCanary = 'label {"istio.io/rev":"canary","istio-injection":null}'
const backToOld = 'label {"istio.io/rev":null,"istio-injection":"enabled"}'

/** A cluster whose pods have lost their sidecars; `forbidden`: and whose webhooks the account may not read. */
function withoutSidecars(cluster: Cluster, webhooks: 'readable' | 'forbidden'): Cluster {
  const list = (async (kind: Kind, namespace?: string, query?: Selection) => {
    if (kind === 'MutatingWebhookConfiguration' && webhooks === 'forbidden') throw new ApiError(403, 'no')
    const found = await cluster.list(kind, namespace, query)
    return kind === 'Pod'
      ? (found as Pod[]).map((each) => ({ ...each, spec: { ...each.spec, initContainers: [] } }))
      : found
  }) as Cluster['list']
  return { ...cluster, list }
}

describe('the stage inject', () => {
  test('restarts the workloads whose sidecars are older than an upgraded control plane injects, and says why', async () => {
    const { context, calls, stored, lines } = clusterWithWorkloads('', { 'istio-injection': 'enabled' })
    stored.set('ConfigMap istio-system/istio-sidecar-injector-old', injectorMap('1.31.0', 'old'))
    stored.set('Pod shop/a-1', withImage(podOf('a', 'old'), '1.30.0'))
    stored.set('Pod shop/b-1', withImage(podOf('b', 'old'), '1.31.0'))
    expect(await inject(context)).toEqual({ changed: true })
    expect(calls).toEqual(['restart a'])
    expect(lines).toContain(
      'Deployment/a: restarted, because its sidecar was older than 1.31.0, which the control plane injects',
    )
  })

  test('labels the namespace before it restarts the workloads in their order', async () => {
    const { context, calls } = clusterWithWorkloads('istio: { revision: canary }', { 'istio-injection': 'enabled' })
    expect(await inject(context)).toEqual({ changed: true })
    expect(calls).toEqual([toCanary, 'restart a', 'restart b'])
    calls.length = 0
    expect(await inject(context)).toEqual({ changed: false })
    expect(calls).toEqual([])
  })

  test('restores the labels when a workload does not start, and restarts again what it had restarted', async () => {
    const { context, calls, report } = clusterWithWorkloads(
      'istio: { revision: canary }',
      { 'istio-injection': 'enabled' },
      { broken: ['b', 'canary'] },
    )
    await expect(inject(context)).rejects.toThrow(
      /Deployment\/b was not ready within 0.001 s .*\nso the namespace shop points to the revision old again, and Deployment\/a, Deployment\/b were restarted with its sidecars/,
    )
    expect(calls).toEqual([toCanary, 'restart a', 'restart b', backToOld, 'restart a', 'restart b'])
    expect(report().restarted).toEqual(['Deployment/a', 'Deployment/b', 'Deployment/a', 'Deployment/b'])
  })

  test('restores the labels when the run is cancelled, without a wait', async () => {
    const controller = new AbortController()
    const { context, calls } = clusterWithWorkloads(
      'istio: { revision: canary }',
      { 'istio-injection': 'enabled' },
      {
        broken: ['a', 'canary'],
        signal: controller.signal,
        onRestart: () => controller.abort(new Error('the run was cancelled')),
      },
    )
    await expect(inject(context)).rejects.toThrow(
      /points to the revision old again, and Deployment\/a are being restarted/,
    )
    expect(calls).toEqual([toCanary, 'restart a', backToOld, 'restart a'])
  })

  test('restores the tag if it moved the tag', async () => {
    const { context, calls, commands } = clusterWithWorkloads(
      'istio: { revision: canary, tag: prod }',
      { 'istio.io/rev': 'prod' },
      { broken: ['b', 'canary'] },
    )
    await expect(inject(context)).rejects.toThrow('points to the revision old again')
    expect(calls).toEqual(['restart a', 'restart b', 'restart a', 'restart b'])
    expect(commands()).toEqual([
      'tag set prod --revision canary --overwrite -y',
      'tag set prod --revision old --overwrite -y',
    ])
  })

  test('removes a tag that it created when a workload does not start', async () => {
    const { context, commands } = clusterWithWorkloads(
      'istio: { revision: canary, tag: stage }',
      { 'istio-injection': 'enabled' },
      { broken: ['a', 'stage'] },
    )
    await expect(inject(context)).rejects.toThrow('points to the revision old again')
    expect(commands()).toEqual(['tag set stage --revision canary --overwrite -y', 'tag remove stage -y'])
  })

  test('changes nothing if the control plane does not exist', async () => {
    const { context, calls } = clusterWithWorkloads('istio: { revision: canari }', { 'istio-injection': 'enabled' })
    await expect(inject(context)).rejects.toThrow(
      'istio.revision: there is no control plane of the revision canari in the cluster (there are old, canary)',
    )
    expect(calls).toEqual([])
  })

  test('changes nothing if the namespace names a revision that no injector serves, also in a dry run', async () => {
    for (const dryRun of [false, true]) {
      const { context, calls } = clusterWithWorkloads(`dryRun: ${dryRun}`, { 'istio.io/rev': 'gone' })
      context.cluster = withoutSidecars(context.cluster, 'readable')
      await expect(inject(context)).rejects.toThrow(
        /shop asks for sidecars by istio.io\/rev=gone, but no injector .* \(there are: old, canary, default, prod\)/,
      )
      expect(calls).toEqual([])
    }
  })

  test('stops at the first workload whose new pod has no sidecar, where it cannot read the injectors', async () => {
    const { context, calls } = clusterWithWorkloads('', { 'istio.io/rev': 'gone' })
    context.cluster = withoutSidecars(context.cluster, 'forbidden')
    await expect(inject(context)).rejects.toThrow(
      /pod shop\/a-1 was restarted and has no sidecar, so no other workload is restarted/,
    )
    expect(calls).toEqual(['restart a'])
  })

  test('reports the changes of a dry run and makes none', async () => {
    const { context, calls } = clusterWithWorkloads('istio: { revision: canary }\ndryRun: true', {
      'istio-injection': 'enabled',
    })
    expect(await inject(context)).toEqual({ changed: true })
    expect(calls).toEqual([])
  })
})
