import { describe, expect, test } from 'vitest'
import { NotCommitted } from '../../../src/canary/controller/context.ts'
import type { KubeObject, Workload } from '../../../src/cluster/objects.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { commitOf, waitForCommit } from '../../../src/release/commit.ts'
import { planRelease } from '../../../src/release/plan.ts'
import { stringify } from '../../../src/yaml/stringify.ts'
import { FakeClock } from '../fake-clock.ts'
import { fileWith } from '../fixtures.ts'
import { clusterOf, deployment, service } from './fixtures.ts'

const labels = { app: 'till', version: '1' }
const two = { app: 'till', version: '2' }
const next = 'registry.test/till:2'
const running = (image: string, pod = labels, more: object = {}) =>
  deployment('till', pod, { containers: [{ name: 'app', image, ...more }] })
const rates = (rate: string): KubeObject & { data: object } => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'rates', namespace: 'shop' },
  data: { rate },
})
const reading = (image: string) =>
  deployment('till', labels, {
    containers: [{ name: 'app', image }],
    volumes: [{ name: 'rates', configMap: { name: 'rates' } }],
  })
const rendered = (...objects: object[]) => `manifests: ${fileWith(objects.map(stringify).join('---\n'), 'till.yaml')}`

/** A release that Git hands over, on a cluster in which `commit` changes objects after so many seconds. */
async function begin(release: string, objects: KubeObject[], commitTimeout = '1m') {
  const fake = clusterOf([service({ app: 'till' }), ...objects])
  const { canary } = loadConfig({
    INPUT_CANARY: `{ service: till, ${release}, after: gitops, commitTimeout: ${commitTimeout} }`,
  })
  const planned = (await planRelease(fake.cluster, 'shop', 'canary', canary!))!
  const clock = new FakeClock()
  const notes: string[] = []
  const wait = (commit: KubeObject[] = [], afterSeconds = 10) => {
    const begun = clock.now()
    const get: typeof fake.cluster.get = (kind, namespace, name) => {
      const found = commit.find((each) => each.kind === kind && each.metadata.name === name)
      const isCommitted = found !== undefined && clock.now() - begun >= afterSeconds * 1_000
      return isCommitted ? Promise.resolve(structuredClone(found) as never) : fake.cluster.get(kind, namespace, name)
    }
    const { signal } = new AbortController()
    return waitForCommit({ ...fake.cluster, get }, planned, { note: (line) => notes.push(line), signal, clock })
  }
  return { ...fake, planned, wait, notes }
}

describe('what to commit', () => {
  test('for an image is a patch of the container that changes, and its image', async () => {
    const sidecar = deployment('till', labels, {
      containers: [
        { name: 'app', image: 'registry.test/till:1' },
        { name: 'log', image: 'registry.test/log:1' },
      ],
    })
    const { planned } = await begin(`image: "${next}"`, [sidecar])
    expect(commitOf(planned)).toEqual({
      service: 'till',
      images: [next],
      patch: {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'till', namespace: 'shop' },
        spec: { template: { spec: { containers: [{ name: 'app', image: next }] } } },
      },
    })
  })

  test('for manifests is the whole template, which replaces the other', async () => {
    const { planned } = await begin(rendered(running(next, two)), [running('registry.test/till:1')])
    expect(commitOf(planned)).toMatchObject({
      images: [next],
      patch: { spec: { template: { $patch: 'replace', metadata: { labels: two }, spec: { containers: [{}] } } } },
    })
  })
})

describe('the wait for the commit', () => {
  const old = running('registry.test/till:1')

  test('ends when stable has the image, with labels that the commit gave its pods', async () => {
    const { wait, writes } = await begin(`image: "${next}"`, [old])
    const now = await wait([running(next, two)])
    expect(now.spec.template.metadata?.labels).toEqual(two)
    expect(writes).toEqual([])
  })

  test.each([
    ['1m', 'Deployment/till has not got the release from Git within 60 s, and the canary keeps all the traffic'],
    ['0s', 'Deployment/till has not got the release from Git yet'],
  ])('of %s ends without it, and says that the canary keeps the traffic', async (limit, message) => {
    const { wait } = await begin(`image: "${next}"`, [old], limit)
    const ended = wait([running('registry.test/till:3')])
    await expect(ended).rejects.toThrow(NotCommitted)
    await expect(ended).rejects.toThrow(message)
  })

  test('ends also when Reloader has restarted the pods meanwhile', async () => {
    const { wait } = await begin(`image: "${next}"`, [old])
    const env = [{ name: 'STAKATER_RATES_CONFIGMAP', value: '0c1f' }]
    await expect(wait([running(next, labels, { env })])).resolves.toBeDefined()
  })

  test('does not accept what the canary has not run', async () => {
    const { wait } = await begin(`image: "${next}"`, [old])
    await expect(wait([running(next, labels, { env: [{ name: 'FAST', value: '1' }] })])).rejects.toThrow(
      'other changes that the canary did not run',
    )
  })

  test('with manifests is for their ConfigMaps as well', async () => {
    const objects = [reading('registry.test/till:1'), rates('7')]
    const release = rendered(reading(next), rates('8'))
    await expect((await begin(release, objects)).wait([reading(next)])).rejects.toThrow(NotCommitted)
    await expect((await begin(release, objects)).wait([reading(next), rates('8')])).resolves.toBeDefined()
  })
})

describe('a Deployment that Flux owns', () => {
  const owned = ({ metadata, ...rest }: Workload): Workload => ({
    ...rest,
    metadata: {
      ...metadata,
      labels: { 'kustomize.toolkit.fluxcd.io/name': 'apps', 'kustomize.toolkit.fluxcd.io/namespace': 'flux-system' },
    },
  })

  const kustomization = (more: object): KubeObject => ({
    apiVersion: 'kustomize.toolkit.fluxcd.io/v1',
    kind: 'Kustomization',
    metadata: { name: 'apps', namespace: 'flux-system' },
    ...more,
  })

  test('gets no commit while its Kustomization is suspended: the log says so once, and the error repeats it', async () => {
    const suspended = kustomization({ spec: { suspend: true } })
    const { wait, notes } = await begin(`image: "${next}"`, [owned(running('registry.test/till:1')), suspended])
    await expect(wait()).rejects.toThrow(
      'has not got the release from Git within 60 s (the Kustomization flux-system/apps is suspended), and the canary keeps ' +
        'all the traffic: repair that, commit the release if it is not committed, and run again',
    )
    expect(notes).toEqual(['the release cannot arrive from Git: the Kustomization flux-system/apps is suspended'])
  })

  test('says what its Kustomization has applied instead of the release', async () => {
    const applied = kustomization({ status: { lastAppliedRevision: 'main@sha1:4f1c9a2' } })
    const { wait, notes } = await begin(`image: "${next}"`, [owned(running('registry.test/till:1')), applied])
    await expect(wait()).rejects.toThrow(
      '(the Kustomization flux-system/apps has applied main@sha1:4f1c9a2), and the canary keeps all the traffic: commit it, and run again',
    )
    expect(notes).toEqual([])
  })

  test('is released with `after: gitops`', async () => {
    const { planned } = await begin(`image: "${next}"`, [owned(running('registry.test/till:1'))])
    expect(planned.todo).toBe('promote')
  })

  test('gets a new ConfigMap from Git, so that the canary has one of its own, which nobody misses later', async () => {
    const { planned } = await begin(rendered(reading(next), rates('8')), [owned(running('registry.test/till:1'))])
    expect(planned.configs.canary).toMatchObject([{ metadata: { name: 'rates-till-canary' } }])
    expect(planned.template.metadata?.annotations).toBeUndefined()
  })

  test('is refused a ConfigMap that would change under running pods', async () => {
    const release = rendered(reading('registry.test/till:1'), rates('8'))
    await expect(begin(release, [owned(reading('registry.test/till:1')), rates('7')])).rejects.toThrow(
      /the release changes only the ConfigMap (shop\/)?rates, and with `after: gitops` nobody would restart the pods/,
    )
  })
})
