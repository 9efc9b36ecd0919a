import { describe, expect, test } from 'vitest'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import { ConfigError } from '../../../src/config/error.ts'
import type { IstioConfig } from '../../../src/config/schema.ts'
import { ensureMesh, desiredMesh } from '../../../src/mesh/install.ts'
import { listControlPlanes, type ControlPlane } from '../../../src/mesh/revisions.ts'
import { checkUpgradeSteps } from '../../../src/mesh/upgrade-steps.ts'
import { clusterWith, configOf, fileWith } from '../fixtures.ts'

const istio = (more: Partial<IstioConfig> = {}): IstioConfig => ({
  ...configOf('istio: { version: 1.31.0, profile: demo }').istio!,
  ...more,
})

const hub = 'values.global.hub=docker.io/istio'

describe('what is asked for', () => {
  test('becomes arguments: files first, so that single values win over them', () => {
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

  test('keeps what an overlay says: its profile and its hub are not set over', () => {
    const { profile: _, ...bare } = istio()
    const of = (text: string, more: Partial<IstioConfig> = {}) =>
      desiredMesh({ ...bare, overlays: [fileWith(text)], ...more })
    const sets = (asked: { args: string[] }) => asked.args.slice(2).filter((each) => each !== '--set')
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

  test('names revision, pull policy and secrets, and what the cluster needs before what the user sets', () => {
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
    ['by its profile', { profile: 'ambient' }],
    ['by the one for OpenShift', { profile: 'openshift-ambient' }],
    ['by a value', { set: ['values.profile=ambient'] }],
    ['by ztunnel', { overlays: ['spec: { components: { ztunnel: { enabled: true } } }'] }],
    ["by an overlay's profile", { overlays: ['spec: { profile: ambient }'] }],
  ])('is refused when it is ambient mode: %s', (_, { overlays, ...more }) => {
    const { profile: _demo, ...bare } = istio()
    expect(() =>
      desiredMesh({ ...bare, ...more, ...(overlays ? { overlays: overlays.map((text) => fileWith(text)) } : {}) }),
    ).toThrow(/asks for ambient mode, where pods have no sidecars/)
  })

  test('is refused when a revision is hidden in an overlay, or an overlay is not YAML', () => {
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

  test('has the same fingerprint when asked for again, wherever its files lie', () => {
    const again = [1, 2].map(() => desiredMesh(istio({ overlays: [fileWith('spec: {}')], set: ['a=1'] })).fingerprint)
    expect(again[0]).toMatch(/^[0-9a-f]{64}$/)
    expect(again[0]).toBe(again[1])
  })

  test('has another fingerprint when any part of it changes', () => {
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

  test('has the same fingerprint when only where it is downloaded from, how long it may take, or what becomes of older ones, changes', () => {
    expect(
      desiredMesh(istio({ mirror: 'https://mirror.example', timeout: 1, removeOld: true, revision: 'default' }))
        .fingerprint,
    ).toBe(desiredMesh(istio()).fingerprint)
  })

  test('names a file that is not there', () => {
    const missing = () => desiredMesh(istio({ overlays: ['/no/such/istio.yaml'] }))
    expect(missing).toThrow(ConfigError)
    expect(missing).toThrow('istio.overlays: the file /no/such/istio.yaml cannot be read (ENOENT)')
  })
})

/** A cluster with an istiod of this image, and what was recorded beside it: a fake, for an istiod of any version is at hand. */
function clusterOf(image: string | undefined, record?: Record<string, string>, availableReplicas = 1) {
  const state = { image, record, applied: [] as KubeObject[] }
  const cluster = clusterWith({
    list: () =>
      Promise.resolve(
        state.image === undefined
          ? []
          : [
              {
                metadata: {},
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
                status: { availableReplicas },
              },
            ],
      ),
    get: () => Promise.resolve(state.record && { data: state.record }),
    apply: (object: KubeObject) => Promise.resolve(state.applied.push(object)),
  })
  return { state, cluster }
}

describe('the version installed', () => {
  test.each<[string | undefined, string | undefined]>([
    ['docker.io/istio/pilot:1.31.0', '1.31.0'],
    ['docker.io/istio/pilot:1.31.0-distroless', '1.31.0'],
    ['docker.io/istio/pilot:1.31.0-debug', '1.31.0'],
    ['localhost:5000/istio/pilot:1.30.2@sha256:0123', '1.30.2'],
    ['docker.io/istio/pilot:1.31.0-rc.1', '1.31.0-rc.1'],
    [undefined, undefined],
  ])('of the image %s is %s', async (image, version) => {
    expect((await listControlPlanes(clusterOf(image).cluster))[0]?.version).toBe(version)
  })
})

describe('the step from one version to another', () => {
  const there = (...live: [revision: string, version: string][]): ControlPlane[] =>
    live.map(([revision, version]) => ({ revision, version, ready: true, createdAt: '' }))
  const asked = (version: string, revision = 'default') => desiredMesh(istio({ version, revision }))

  test.each<[string, ControlPlane[], ReturnType<typeof desiredMesh>, RegExp]>([
    [
      'two minor versions in place',
      there(['default', '1.29.3']),
      asked('1.31.0'),
      /control plane default runs 1\.29\.3, and in place only an upgrade to the next minor version is supported, not to 1\.31\.0; upgrade one minor version at a time, or install it beside/,
    ],
    [
      'back in place',
      there(['default', '1.31.0']),
      asked('1.30.4'),
      /runs 1\.31\.0, and 1\.30\.4 is older; to go back, point the namespace to a control plane of the old version/,
    ],
    [
      'three minor versions beside',
      there(['default', '1.28.0']),
      asked('1.31.0', 'canary'),
      /beside it only up to two minor versions away/,
    ],
    [
      'far behind beside',
      there(['default', '1.31.0']),
      asked('1.28.0', 'canary'),
      /beside it only up to two minor versions away/,
    ],
  ])('is refused: %s', (_, live, wish, fault) => {
    expect(() => checkUpgradeSteps(live, wish)).toThrow(ConfigError)
    expect(() => checkUpgradeSteps(live, wish)).toThrow(fault)
  })

  test.each<[string, ControlPlane[], ReturnType<typeof desiredMesh>, string[]]>([
    ['the first', [], asked('1.31.0'), []],
    ['the next minor version in place', there(['default', '1.30.9']), asked('1.31.0'), []],
    ['two minor versions beside', there(['default', '1.29.0']), asked('1.31.0', 'canary'), []],
    [
      'the next one in place, beside one that is two back',
      there(['old', '1.29.0'], ['canary', '1.30.0']),
      asked('1.31.0', 'canary'),
      [],
    ],
    [
      'an older patch in place, and told',
      there(['default', '1.31.2']),
      asked('1.31.0'),
      ['the control plane default runs 1.31.2 and is replaced by the older 1.31.0'],
    ],
    ['from a version of nobody knows what', there(['default', 'latest']), asked('1.31.0'), []],
  ])('is allowed: %s', (_, live, wish, told) => {
    expect(checkUpgradeSteps(live, wish)).toEqual(told)
  })
})

describe('the mesh is brought about', () => {
  const asked = desiredMesh(istio())
  const asRecorded = { version: '1.31.0', fingerprint: asked.fingerprint }
  const live = 'docker.io/istio/pilot:1.31.0'

  test.each<[string, ReturnType<typeof clusterOf>, string]>([
    ['left alone when it is as asked', clusterOf(live, asRecorded), 'unchanged'],
    ['installed where there is none', clusterOf(undefined), 'installed'],
    ['installed where only the record is left', clusterOf(undefined, asRecorded), 'installed'],
    ['changed when it is another version', clusterOf('docker.io/istio/pilot:1.30.0', asRecorded), 'changed'],
    ['changed when it was asked for otherwise', clusterOf(live, { ...asRecorded, fingerprint: 'other' }), 'changed'],
    ["changed when it is somebody else's", clusterOf(live), 'changed'],
    ['changed when istiod is not available', clusterOf(live, asRecorded, 0), 'changed'],
  ])('%s', async (_, { state, cluster }, action) => {
    const installs: string[][] = []
    const install = (args: string[]) => {
      installs.push(args)
      state.image = live
      return Promise.resolve()
    }
    expect(await ensureMesh(cluster, asked, install)).toEqual({ version: '1.31.0', action })
    expect(installs).toEqual(action === 'unchanged' ? [] : [['--set', 'profile=demo', '--set', hub]])
    expect(state.applied).toEqual(
      action === 'unchanged' ? [] : [expect.objectContaining({ kind: 'ConfigMap', data: asRecorded })],
    )
  })

  test('beside another revision, with a record of its own', async () => {
    const { state, cluster } = clusterOf(live, asRecorded)
    const canary = desiredMesh(istio({ revision: 'canary' }))
    expect(await ensureMesh(cluster, canary, () => Promise.resolve())).toEqual({
      version: '1.31.0',
      revision: 'canary',
      action: 'installed',
    })
    expect(state.applied).toMatchObject([
      { metadata: { name: 'mesh-canary-install-canary' }, data: { fingerprint: canary.fingerprint } },
    ])
  })

  test('a failed installation is not recorded, so that the next run tries again', async () => {
    const { state, cluster } = clusterOf(undefined)
    await expect(ensureMesh(cluster, asked, () => Promise.reject(new Error('no room')))).rejects.toThrow('no room')
    expect(state.applied).toEqual([])
  })
})
