import { describe, expect, test } from 'vitest'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { Cluster } from '../../../src/cluster/client.ts'
import type { ConfigMap, KubeObject, Workload } from '../../../src/cluster/objects.ts'
import { stringify } from '../../../src/yaml/stringify.ts'
import { planRelease } from '../../../src/release/plan.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { fileWith } from '../fixtures.ts'
import { clusterOf, deployment, podOf, service } from './fixtures.ts'

const versioned = (version = '1') => deployment('till', { app: 'till', version })

/** The plan of a release, with the canary section's other keys. */
async function plan(release: string, objects: KubeObject[]) {
  const { canary } = loadConfig({ INPUT_CANARY: `{ service: till, ${release} }` })
  const { cluster } = clusterOf([service({ app: 'till' }), ...objects])
  return (await planRelease(cluster, 'shop', 'canary', canary!))!
}
const ofImage = (image: string, ...objects: KubeObject[]) => plan(`image: ${image}`, objects)

describe('what is left to do', () => {
  const canaryOf = async (image: string) => (await ofImage(image, versioned(), podOf('till'))).canary

  test('nothing, if the Deployment runs the image and no canary is left', async () => {
    expect(await ofImage('registry.test/till:1', versioned())).toMatchObject({ todo: 'idle', left: undefined })
  })

  test('nothing, even if a canary of it could not run or would be undone', async () => {
    const full = {
      apiVersion: 'v1',
      kind: 'ResourceQuota',
      metadata: { name: 'team', namespace: 'shop' },
      status: { hard: { pods: '2' }, used: { pods: '2' } },
    }
    const labels = { 'kustomize.toolkit.fluxcd.io/name': 'apps' }
    const tracked = { ...versioned(), metadata: { ...versioned().metadata, labels } }
    expect(await ofImage('registry.test/till:1', tracked, full)).toMatchObject({ todo: 'idle' })
    await expect(ofImage('registry.test/till:2', versioned(), full)).rejects.toThrow(
      'the ResourceQuota team allows pods 2',
    )
  })

  test('nothing for the image that runs, whatever it is', async () => {
    expect(await ofImage('current', versioned(), podOf('till'))).toMatchObject({ todo: 'idle' })
  })

  test('to promote a new image, with a canary that differs in its label, its name and its image only', async () => {
    const { todo, canary, left, canaryService } = await ofImage('registry.test/till:2', versioned())
    expect({ todo, left, canaryService }).toEqual({ todo: 'promote', left: undefined, canaryService: undefined })
    expect(canary.metadata).toMatchObject({ name: 'till-canary', labels: { 'mesh-canary.io/canary': 'till' } })
    expect(canary.spec).toEqual({
      replicas: 2,
      selector: { matchLabels: { 'mesh-canary.io/canary': 'till' } },
      template: {
        metadata: { labels: { app: 'till', version: 'canary', 'mesh-canary.io/canary': 'till' } },
        spec: { containers: [{ name: 'app', image: 'registry.test/till:2' }] },
      },
    })
  })

  test('to continue with a canary of the same release, and to replace one of another', async () => {
    const same = await canaryOf('registry.test/till:2')
    expect(await ofImage('registry.test/till:2', versioned(), same)).toMatchObject({
      todo: 'promote',
      left: { isSame: true },
    })
    expect(await ofImage('registry.test/till:3', versioned(), same)).toMatchObject({
      todo: 'promote',
      left: { isSame: false },
    })
  })

  test('to remove the canary, if the Deployment runs the image already', async () => {
    const left = await canaryOf('registry.test/till:1')
    expect(await ofImage('registry.test/till:1', versioned(), left)).toMatchObject({ todo: 'finish' })
  })
})

test('without a label of its own, the canary gets a Service with the ports of that of stable', async () => {
  const { canary, canaryService } = await ofImage('registry.test/till:2', deployment())
  expect(canary.spec.template.metadata?.labels).toEqual({ app: 'till-canary', 'mesh-canary.io/canary': 'till' })
  expect(canaryService).toMatchObject({
    metadata: { name: 'till-canary', labels: { team: 'pay' } },
    spec: {
      selector: { app: 'till-canary', 'mesh-canary.io/canary': 'till' },
      ports: [{ name: 'http', port: 80 }],
    },
  })
})

test('the pods of the canary keep away from each other, as those of stable do, and not from those of stable', async () => {
  const term = (app: string) => ({ topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app } } })
  const away = (app: string) => ({
    affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term(app)] } },
    topologySpreadConstraints: [{ maxSkew: 1, ...term(app) }],
  })
  const { canary, template } = await ofImage('registry.test/till:2', deployment('till', { app: 'till' }, away('till')))
  expect(canary.spec.template.spec).toMatchObject(away('till-canary'))
  expect(template.spec).toMatchObject(away('till'))
  const labelled = deployment('till', { app: 'till', version: '1' }, away('till'))
  expect((await ofImage('registry.test/till:2', labelled)).canary.spec.template.spec).toMatchObject(away('till'))
})

describe('a tool that restarts pods', () => {
  const variable = { name: 'STAKATER_RATES_CONFIGMAP', value: '0c1f' }
  /** The Deployment after kubectl rollout restart, and after a restart by Reloader with each of its two strategies. */
  const restarted: [string, Workload][] = [
    ['kubectl', marked({ 'kubectl.kubernetes.io/restartedAt': '2026-11-29T08:00:00Z' })],
    ['Reloader, which adds an annotation', marked({ 'reloader.stakater.com/last-reloaded-from': '{"hash":"0c1f"}' })],
    ['Reloader, which adds a variable', marked({}, [variable])],
  ]
  function marked(annotations: Record<string, string>, env: { name: string; value: string }[] = []): Workload {
    const containers = [{ name: 'app', image: 'registry.test/till:1', ...(env.length > 0 ? { env } : {}) }]
    const made = deployment('till', { app: 'till', version: '1' }, { containers })
    made.spec.template.metadata!.annotations = annotations
    return made
  }

  test.each(restarted)('makes no other release: %s', async (_, stable) => {
    const { apiVersion, kind, spec } = versioned()
    const file = fileWith(stringify({ apiVersion, kind, metadata: { name: 'till' }, spec }), 'till.yaml')
    expect(await plan(`manifests: ${file}`, [stable])).toMatchObject({ todo: 'idle' })
    expect(await ofImage('registry.test/till:1', stable)).toMatchObject({ todo: 'idle' })
  })

  test('for a changed ConfigMap makes another canary, because the pods of the old one have not read it', async () => {
    const { canary } = await ofImage('registry.test/till:2', versioned())
    expect(await ofImage('registry.test/till:2', marked({}, [variable]), canary)).toMatchObject({
      left: { isSame: false },
    })
  })
})

test('an image whose digest an admission webhook has added runs already', async () => {
  const digest = '@sha256:0123'
  const containers = [{ name: 'app', image: `registry.test/till:2${digest}` }]
  const { cluster } = clusterOf([service({ app: 'till' }), deployment('till', { app: 'till' }, { containers })])
  const apply = (object: Workload) => {
    const spec = structuredClone(object.spec)
    for (const each of spec.template.spec.containers) each.image = `${each.image?.replace(digest, '')}${digest}`
    return Promise.resolve({ ...object, spec })
  }
  const { canary } = loadConfig({ INPUT_CANARY: '{ service: till, image: "registry.test/till:2" }' })
  const admitting = { ...cluster, apply } as unknown as Cluster
  expect(await planRelease(admitting, 'shop', 'canary', canary!)).toMatchObject({ todo: 'idle' })
})

test('the canary has as many replicas as the plan says', async () => {
  expect((await plan('image: "registry.test/till:2", replicas: 5', [versioned()])).canary.spec.replicas).toBe(5)
})

describe('a release is refused before anything is written', () => {
  const volume = (claimName: string) =>
    deployment('till', { app: 'till' }, { volumes: [{ name: 'data', persistentVolumeClaim: { claimName } }] })
  const claim = (name: string, mode: string) =>
    ({
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name, namespace: 'shop' },
      spec: { accessModes: [mode] },
    }) as KubeObject
  const tracked: Workload = {
    ...versioned(),
    metadata: {
      ...versioned().metadata,
      labels: { 'kustomize.toolkit.fluxcd.io/name': 'apps', 'kustomize.toolkit.fluxcd.io/namespace': 'flux-system' },
    },
  }
  test.each<[string, KubeObject[], string]>([
    [
      'a claim that the pods of two Deployments cannot share',
      [volume('ledger'), claim('ledger', 'ReadWriteOnce')],
      'PersistentVolumeClaim ledger, which is ReadWriteOnce',
    ],
    [
      'a Deployment of the name of the canary that someone else made',
      [versioned(), { ...deployment('till-canary', { app: 'other' }) }],
      'one of that name exists that mesh-canary did not create',
    ],
    [
      'a Deployment that Flux manages',
      [tracked],
      'Flux (Kustomization flux-system/apps) manages the Deployment shop/till',
    ],
    [
      'a Deployment that is paused',
      [{ ...versioned(), spec: { ...versioned().spec, paused: true } } as Workload],
      'the Deployment shop/till is paused, so its pods would never get the release',
    ],
  ])('%s', async (_, objects, message) => {
    await expect(ofImage('registry.test/till:2', ...objects)).rejects.toThrow(message)
  })

  test('header routes, if only a Service can tell the versions apart', async () => {
    const ab = 'image: "registry.test/till:2", ab: { match: { headers: { x-tester: "1" } } }'
    await expect(plan(ab, [deployment()])).rejects.toThrow('`ab` needs subsets')
    await expect(plan(ab, [versioned()])).resolves.toMatchObject({ todo: 'promote' })
  })

  test('but a claim that all pods share is none', async () => {
    const objects = [volume('assets'), claim('assets', 'ReadWriteMany')]
    await expect(ofImage('registry.test/till:2', ...objects)).resolves.toMatchObject({ todo: 'promote' })
  })
})

describe('manifests', () => {
  const config = (name: string, rate: string): ConfigMap => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: 'shop' },
    data: { rate },
  })
  const reading = (name: string, version = '1') =>
    deployment('till', { app: 'till', version }, { volumes: [{ name: 'config', configMap: { name } }] })
  const render = (...objects: object[]) => `manifests: ${fileWith(objects.map(stringify).join('---\n'), 'till.yaml')}`
  const manifest = ({ apiVersion, kind, metadata: { name }, spec }: Workload, more: object = {}) => ({
    apiVersion,
    kind,
    metadata: { name, ...more },
    spec,
  })
  const mounts = ({ spec }: Workload['spec']['template']) => (spec as { volumes?: unknown }).volumes

  test('that say what runs already leave nothing to do', async () => {
    const release = render(manifest(reading('rates')), config('rates', '7'))
    expect(await plan(release, [reading('rates'), config('rates', '7')])).toMatchObject({ todo: 'idle' })
  })

  test('give stable their labels, and the canary another value for the label that tells them apart', async () => {
    const { todo, template, canary, distinction } = await plan(render(manifest(reading('rates', '2'))), [
      reading('rates'),
    ])
    expect({ todo, distinction }).toEqual({
      todo: 'promote',
      distinction: { by: 'subset', key: 'version', value: '1' },
    })
    expect(template.metadata?.labels).toEqual({ app: 'till', version: '2' })
    expect(canary.spec.template.metadata?.labels).toMatchObject({ version: 'canary' })
  })

  test('with a new ConfigMap: it is created for the canary under its own name', async () => {
    const release = render(manifest(reading('rates-2')), config('rates-2', '8'))
    const { canary, configs } = await plan(release, [reading('rates-1'), config('rates-1', '7')])
    expect(mounts(canary.spec.template)).toEqual([{ name: 'config', configMap: { name: 'rates-2' } }])
    expect(configs.canary.map(({ metadata }) => metadata.name)).toEqual(['rates-2'])
  })

  test('with a changed ConfigMap: the canary reads a copy, because the pods of stable read the other', async () => {
    const release = render(manifest(reading('rates')), config('rates', '8'))
    const { todo, canary, template, configs } = await plan(release, [reading('rates'), config('rates', '7')])
    expect(todo).toBe('promote')
    expect(mounts(canary.spec.template)).toEqual([{ name: 'config', configMap: { name: 'rates-till-canary' } }])
    expect(mounts(template)).toEqual([{ name: 'config', configMap: { name: 'rates' } }])
    expect(configs.canary).toMatchObject([{ metadata: { name: 'rates-till-canary' }, data: { rate: '8' } }])
    expect(configs.stable).toMatchObject([{ metadata: { name: 'rates' }, data: { rate: '8' } }])
    // Pods of an unchanged template would not start again.
    expect(template.metadata?.annotations).toHaveProperty(['kubectl.kubernetes.io/restartedAt'])
  })

  test('with other data in a ConfigMap: the pods of an earlier canary have not read it', async () => {
    const release = (rate: string, ...left: KubeObject[]) =>
      plan(render(manifest(reading('rates')), config('rates', rate)), [reading('rates'), config('rates', '7'), ...left])
    const { canary } = await release('8')
    expect((await release('8', canary)).left).toMatchObject({ isSame: true })
    expect((await release('9', canary)).left).toMatchObject({ isSame: false })
  })

  test('with a Secret that the account may not read are refused', async () => {
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'keys' }, data: {} }
    const reading = deployment('till', { app: 'till' }, { volumes: [{ name: 'keys', secret: { secretName: 'keys' } }] })
    const { cluster } = clusterOf([service({ app: 'till' }), reading])
    const forbidden: Cluster = {
      ...cluster,
      get: (kind, namespace, name) =>
        kind === 'Secret'
          ? Promise.reject(new ApiError(403, 'cannot get resource "secrets"'))
          : cluster.get(kind, namespace, name),
    }
    const { canary } = loadConfig({ INPUT_CANARY: `{ service: till, ${render(manifest(reading), secret)} }` })
    await expect(planRelease(forbidden, 'shop', 'canary', canary!)).rejects.toThrow(
      'the run may not read the Secret keys, so it cannot tell whether the release changes it',
    )
  })

  test('that change an immutable ConfigMap are refused', async () => {
    const immutable = { ...config('rates', '7'), immutable: true }
    const release = render(manifest(reading('rates')), config('rates', '8'))
    await expect(plan(release, [reading('rates'), immutable])).rejects.toThrow(
      'the ConfigMap shop/rates in the cluster is immutable',
    )
  })

  test('objects that the pods do not read are left alone', async () => {
    const release = render(manifest(reading('rates', '2')), config('banner', 'new'), service({ app: 'till' }))
    expect((await plan(release, [reading('rates'), config('banner', 'old')])).configs).toMatchObject({
      canary: [],
      stable: [],
    })
  })

  test.each<[string, object[], string]>([
    ['no Deployment', [config('rates', '1')], 'there is no Deployment till in these manifests'],
    ['another Deployment', [manifest(deployment('tills'))], 'they have tills; did you mean `tills`?'],
    ['a StatefulSet', [{ ...manifest(versioned()), kind: 'StatefulSet' }], 'till is a StatefulSet here'],
    [
      'another namespace',
      [manifest(versioned(), { namespace: 'bar' })],
      'is for the namespace bar, and the run is for shop',
    ],
    ['two of the name', [manifest(versioned()), manifest(versioned())], 'till.yaml:1 and at'],
    [
      'another selector',
      [manifest(deployment('till', { app: 'desk' }))],
      'selects app=desk, and in the cluster app=till',
    ],
  ])('are refused if they have %s', async (_, objects, message) => {
    await expect(plan(render(...objects), [versioned()])).rejects.toThrow(message)
  })
})
