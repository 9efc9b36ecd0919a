import { describe, expect, test } from 'vitest'
import type { ConfigMap, KubeObject, Meta } from '../../../src/cluster/objects.ts'
import { ConfigError } from '../../../src/config/error.ts'
import type { IstioConfig } from '../../../src/config/schema.ts'
import { desiredMesh, installMesh, isInstalledAsDesired, proxyStats } from '../../../src/mesh/install.ts'
import { listControlPlanes, type ControlPlane, type InstallRecord } from '../../../src/mesh/revisions.ts'
import { checkUpgradeSteps } from '../../../src/mesh/upgrade-steps.ts'
import { clusterWith, configOf, fileWith } from '../fixtures.ts'

const istio = (more: Partial<IstioConfig> = {}): IstioConfig => ({
  ...configOf('istio: { version: 1.31.0, profile: demo }').istio!,
  ...more,
})

const hub = 'values.global.hub=docker.io/istio'

describe('desiredMesh', () => {
  test('passes files before single values, so that the values win', () => {
    const file = fileWith('spec: {}')
    expect(desiredMesh(istio({ overlays: [file], set: ['a=1', 'b=2'] })).args).toEqual([
      '-f',
      file,
      '--set',
      'profile=demo',
      '--set',
      hub,
      '--set',
      'a=1',
      '--set',
      'b=2',
    ])
  })

  test('does not override the profile and hub of an overlay', () => {
    const { profile: _, ...bare } = istio()
    const of = (text: string, more: Partial<IstioConfig> = {}) =>
      desiredMesh({ ...bare, overlays: [fileWith(text)], ...more })
    const sets = (mesh: { args: string[] }) => mesh.args.slice(2).filter((each) => each !== '--set')
    expect(of('spec: { profile: minimal }')).toMatchObject({ profile: 'minimal' })
    expect(sets(of('spec: { profile: minimal }'))).toEqual([hub])
    expect(sets(of('spec: { hub: registry.example }'))).toEqual([])
    expect(sets(of('spec: { values: { global: { hub: registry.example } } }'))).toEqual([])
    expect(sets(of('spec: {}', { set: ['hub=registry.example'] }))).toEqual(['hub=registry.example'])
    expect(sets(of('spec: { hub: registry.example }', { hub: 'mine.example', profile: 'demo' }))).toEqual([
      'profile=demo',
      'values.global.hub=mine.example',
    ])
    expect(of('spec: { profile: minimal }', { set: ['profile=demo'] }).profile).toBe('demo')
  })

  test('asks for the metrics of the dashboards, unless the user has chosen the metrics of the sidecars', () => {
    const stats = proxyStats({ dashboards: true, experiments: true })
    const asks = (more: object) => desiredMesh(istio(more), stats).args.join(' ').includes('upstream_rq_retry')
    expect(asks({})).toBe(true)
    const key = 'meshConfig.defaultConfig.proxyStatsMatcher.inclusionPrefixes[0]'
    expect(asks({ set: [`${key}=cluster.outbound`] })).toBe(false)
    const overlay = 'spec: { meshConfig: { defaultConfig: { proxyStatsMatcher: { inclusionPrefixes: [http] } } } }'
    expect(asks({ overlays: [fileWith(overlay)] })).toBe(false)
  })

  test('asks for a metric once that dashboards and experiments both need, and for none without them', () => {
    const both = proxyStats({ dashboards: true, experiments: true })
    expect(both.filter((pair) => pair.endsWith('=upstream_rq_retry'))).toHaveLength(1)
    expect(both.join()).toContain('=upstream_rq_per_try_timeout')
    expect(proxyStats({ dashboards: false, experiments: false })).toEqual([])
  })

  test('passes revision, pull policy and pull secrets, and the values of the cluster before those of the user', () => {
    const { args } = desiredMesh(
      istio({ revision: 'canary', imagePullPolicy: 'Never', pullSecrets: ['a', 'b'], set: ['x=1'] }),
      ['y=2'],
    )
    expect(args.filter((each) => each !== '--set')).toEqual([
      'profile=demo',
      hub,
      'values.global.imagePullPolicy=Never',
      'values.global.imagePullSecrets[0]=a',
      'values.global.imagePullSecrets[1]=b',
      'y=2',
      'x=1',
      '--revision',
      'canary',
    ])
    expect(desiredMesh(istio({ revision: 'default' })).args).not.toContain('--revision')
  })

  test.each<[string, Partial<IstioConfig>]>([
    ['its profile', { profile: 'ambient' }],
    ['the profile for OpenShift', { profile: 'openshift-ambient' }],
    ['a value', { set: ['values.profile=ambient'] }],
    ['ztunnel', { overlays: ['spec: { components: { ztunnel: { enabled: true } } }'] }],
    ['the profile of an overlay', { overlays: ['spec: { profile: ambient }'] }],
  ])('rejects ambient mode, given by %s', (_, { overlays, ...more }) => {
    const { profile: _demo, ...bare } = istio()
    expect(() =>
      desiredMesh({ ...bare, ...more, ...(overlays ? { overlays: overlays.map((text) => fileWith(text)) } : {}) }),
    ).toThrow(/asks for ambient mode, where pods have no sidecars/)
  })

  test('rejects a revision inside an overlay, and an overlay that is not YAML', () => {
    expect(() => desiredMesh(istio({ overlays: [fileWith('spec: { revision: blue }')] }))).toThrow(
      'they set the revision blue; set it as `istio.revision`',
    )
    expect(() =>
      desiredMesh(istio({ overlays: [fileWith('spec: { revision: blue }')], revision: 'blue' })),
    ).not.toThrow()
    expect(() => desiredMesh(istio({ overlays: [fileWith('a: [')] }))).toThrow(
      /istio.overlays: the file \S+:1 is not one YAML document: a `\[` or `\{` is not closed/,
    )
  })

  test('has the same fingerprint for the same config, wherever its files are', () => {
    const again = [1, 2].map(() => desiredMesh(istio({ overlays: [fileWith('spec: {}')], set: ['a=1'] })).fingerprint)
    expect(again[0]).toMatch(/^[0-9a-f]{64}$/)
    expect(again[0]).toBe(again[1])
  })

  test('has another fingerprint when any part of the mesh changes', () => {
    const file = (text: string) => ({ overlays: [fileWith(text)] })
    const variants = [
      {},
      { version: '1.31.1' },
      { profile: 'minimal' },
      { set: ['a=1'] },
      { set: ['a=2'] },
      { set: ['a=1', 'b=1'] },
      { revision: 'canary' },
      { hub: 'x.example' },
      { imagePullPolicy: 'Always' as const },
      { pullSecrets: ['a'] },
      file('a: 1'),
      file('a: 2'),
    ]
    const fingerprints = variants.map((more) => desiredMesh(istio(more)).fingerprint)
    expect(new Set(fingerprints).size).toBe(variants.length)
  })

  test('keeps its fingerprint when only the download source, the timeout or the handling of old control planes changes', () => {
    expect(
      desiredMesh(istio({ mirror: 'https://mirror.example', timeout: 1, removeOld: true, revision: 'default' }))
        .fingerprint,
    ).toBe(desiredMesh(istio()).fingerprint)
  })

  test('names a file that does not exist', () => {
    const missing = () => desiredMesh(istio({ overlays: ['/no/such/istio.yaml'] }))
    expect(missing).toThrow(ConfigError)
    expect(missing).toThrow('istio.overlays: the file /no/such/istio.yaml cannot be read (ENOENT)')
  })
})

/**
 * A fake cluster with an istiod of this image and a record of its installation, because a test needs istiods of any
 * version.
 */
function clusterOf(image: string | undefined, record?: Record<string, string>, more: Partial<Meta> = {}) {
  const state = { image, record, applied: [] as (KubeObject & Partial<ConfigMap>)[], created: [] as string[] }
  const istiod = () => ({
    metadata: { name: 'istiod', namespace: 'istio-system', uid: 'u1', ...more },
    spec: {
      template: {
        spec: {
          containers: [
            { name: 'other', image: 'x:9' },
            { name: 'discovery', image: state.image },
          ],
        },
      },
    },
    status: { availableReplicas: 1 },
  })
  const cluster = clusterWith({
    list: () => Promise.resolve(state.image === undefined ? [] : [istiod()]),
    get: (kind: string) =>
      Promise.resolve(kind === 'Namespace' ? image && { metadata: {} } : state.record && { data: state.record }),
    create: (object: KubeObject) => Promise.resolve(state.created.push(object.kind)),
    apply: (object: KubeObject) => Promise.resolve(state.applied.push(object)),
  })
  return { state, cluster }
}

describe('the installed version', () => {
  test.each<[string | undefined, string | undefined]>([
    ['docker.io/istio/pilot:1.31.0', '1.31.0'],
    ['docker.io/istio/pilot:1.31.0-distroless', '1.31.0'],
    ['docker.io/istio/pilot:1.31.0-debug', '1.31.0'],
    ['localhost:5000/istio/pilot:1.30.2@sha256:0123', '1.30.2'],
    ['docker.io/istio/pilot:1.31.0-rc.1', '1.31.0-rc.1'],
    [undefined, undefined],
  ])('is, for the image %s, %s', async (image, version) => {
    expect((await listControlPlanes(clusterOf(image).cluster))[0]?.version).toBe(version)
  })
})

describe('checkUpgradeSteps', () => {
  const controlPlanesWith = (...live: [revision: string, version: string][]): ControlPlane[] =>
    live.map(([revision, version]) => ({
      revision,
      version,
      ready: true,
      createdAt: '',
      metadata: { name: 'istiod', namespace: 'istio-system' },
    }))
  const desiredMeshOf = (version: string, revision = 'default') => desiredMesh(istio({ version, revision }))

  test.each<[string, ControlPlane[], ReturnType<typeof desiredMesh>, RegExp]>([
    [
      'two minor versions in place',
      controlPlanesWith(['default', '1.29.3']),
      desiredMeshOf('1.31.0'),
      /control plane default runs 1\.29\.3, and in place only an upgrade to the next minor version is supported, not to 1\.31\.0; upgrade one minor version at a time, or install it beside/,
    ],
    [
      'an older minor version in place',
      controlPlanesWith(['default', '1.31.0']),
      desiredMeshOf('1.30.4'),
      /runs 1\.31\.0, and 1\.30\.4 is older; to go back, point the namespace to a control plane of the old version/,
    ],
    [
      'three minor versions beside the old control plane',
      controlPlanesWith(['default', '1.28.0']),
      desiredMeshOf('1.31.0', 'canary'),
      /beside it only up to two minor versions away/,
    ],
    [
      'three older minor versions beside the new control plane',
      controlPlanesWith(['default', '1.31.0']),
      desiredMeshOf('1.28.0', 'canary'),
      /beside it only up to two minor versions away/,
    ],
  ])('rejects %s', (_, live, desired, fault) => {
    expect(() => checkUpgradeSteps(live, desired)).toThrow(ConfigError)
    expect(() => checkUpgradeSteps(live, desired)).toThrow(fault)
  })

  test.each<[string, ControlPlane[], ReturnType<typeof desiredMesh>, string[]]>([
    ['the first control plane', [], desiredMeshOf('1.31.0'), []],
    ['the next minor version in place', controlPlanesWith(['default', '1.30.9']), desiredMeshOf('1.31.0'), []],
    [
      'two minor versions beside the old control plane',
      controlPlanesWith(['default', '1.29.0']),
      desiredMeshOf('1.31.0', 'canary'),
      [],
    ],
    [
      'the next minor version in place, beside a control plane two versions older',
      controlPlanesWith(['old', '1.29.0'], ['canary', '1.30.0']),
      desiredMeshOf('1.31.0', 'canary'),
      [],
    ],
    [
      'an older patch in place, with a warning',
      controlPlanesWith(['default', '1.31.2']),
      desiredMeshOf('1.31.0'),
      ['the control plane default runs 1.31.2 and is replaced by the older 1.31.0'],
    ],
    ['an upgrade from an unknown version', controlPlanesWith(['default', 'latest']), desiredMeshOf('1.31.0'), []],
  ])('accepts %s', (_, live, desired, warnings) => {
    expect(checkUpgradeSteps(live, desired)).toEqual(warnings)
  })
})

describe('a control plane', () => {
  const desired = desiredMesh(istio())
  const record = { version: '1.31.0', fingerprint: desired.fingerprint }
  const plane = (more: Partial<ControlPlane> = {}): ControlPlane => ({
    revision: 'default',
    version: '1.31.0',
    ready: true,
    createdAt: '',
    metadata: { name: 'istiod', namespace: 'istio-system', uid: 'u1' },
    ...more,
  })

  test.each<[string, ControlPlane | undefined, InstallRecord | undefined, boolean]>([
    ['is as desired if its record says so', plane(), record, true],
    ['is as desired if its record names its Deployment', plane(), { ...record, uid: 'u1' }, true],
    ['is not if it was installed anew since', plane(), { ...record, uid: 'u0' }, false],
    ['is not if only its record is left', undefined, record, false],
    ['is not if it has another version', plane({ version: '1.30.0' }), record, false],
    ['is not if it was installed with other settings', plane(), { ...record, fingerprint: 'other' }, false],
    ['is not if it has no record', plane(), undefined, false],
    ['is not if its istiod is not available', plane({ ready: false }), record, false],
  ])('%s', (_, live, known, expected) => {
    expect(isInstalledAsDesired(desired, live, known)).toBe(expected)
  })
})

describe('installMesh', () => {
  const desired = desiredMesh(istio())
  const done = { version: '1.31.0', fingerprint: desired.fingerprint, uid: 'u1' }
  const live = 'docker.io/istio/pilot:1.31.0'

  test('records that the control plane is ours before it installs, and its settings afterwards', async () => {
    const { state, cluster } = clusterOf(undefined)
    const install = (args: string[]) => {
      expect(args).toEqual(['--set', 'profile=demo', '--set', hub])
      expect([state.created, state.applied.map(({ data }) => data)]).toEqual([['Namespace'], [{}]])
      state.image = live
      return Promise.resolve()
    }
    expect(await installMesh(cluster, desired, install)).toEqual({ version: '1.31.0', action: 'installed' })
    expect(state.applied.map(({ data }) => data)).toEqual([{}, done])
  })

  test('changes a control plane in the namespace that exists', async () => {
    const { state, cluster } = clusterOf('docker.io/istio/pilot:1.30.0', done)
    const install = () => Promise.resolve(void (state.image = live))
    expect(await installMesh(cluster, desired, install)).toEqual({ version: '1.31.0', action: 'changed' })
    expect([state.created, state.applied.map(({ data }) => data)]).toEqual([[], [{ uid: 'u1' }, done]])
  })

  test('remembers from whom it takes a control plane over', async () => {
    const { state, cluster } = clusterOf(live, undefined, {
      annotations: { 'meta.helm.sh/release-name': 'istiod' },
      managedFields: [{ manager: 'helm' }, { manager: 'kubectl-annotate' }],
    })
    await installMesh(cluster, desired, () => Promise.resolve())
    expect(state.applied.at(-1)?.data).toEqual({
      ...done,
      takenOverFrom: 'Helm, as its release istiod',
      takenOverManagers: 'helm kubectl-annotate',
    })
  })

  test('installs a second revision with its own record', async () => {
    const { state, cluster } = clusterOf(live, done)
    const canary = desiredMesh(istio({ revision: 'canary' }))
    expect(await installMesh(cluster, canary, () => Promise.resolve())).toEqual({
      version: '1.31.0',
      revision: 'canary',
      action: 'installed',
    })
    expect(state.applied.at(-1)).toMatchObject({
      metadata: { name: 'mesh-canary-install-canary' },
      data: { fingerprint: canary.fingerprint },
    })
  })

  test('records no settings of a failed installation, so that the next run tries again', async () => {
    const { state, cluster } = clusterOf(undefined)
    await expect(installMesh(cluster, desired, () => Promise.reject(new Error('no room')))).rejects.toThrow('no room')
    expect(state.applied.map(({ data }) => data)).toEqual([{}])
  })
})
