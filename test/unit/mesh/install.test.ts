import { describe, expect, test } from 'vitest'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import { ConfigError } from '../../../src/config/error.ts'
import type { IstioConfig } from '../../../src/config/schema.ts'
import { ensureMesh, installedVersion, wanted } from '../../../src/mesh/install.ts'
import { clusterWith, configOf, fileWith } from '../fixtures.ts'

const istio = (more: Partial<IstioConfig> = {}): IstioConfig => ({ ...configOf('istio: { version: 1.31.0, profile: demo }').istio!, ...more })

describe('what is asked for', () => {
  test('becomes arguments: files first, so that single values win over them', () => {
    const file = fileWith('spec: {}')
    expect(wanted(istio({ overlays: [file], set: ['a=1', 'b=2'] })).args).toEqual(['-f', file, '--set', 'profile=demo', '--set', 'a=1', '--set', 'b=2'])
  })

  test('has the same fingerprint when asked for again, wherever its files lie', () => {
    const again = [1, 2].map(() => wanted(istio({ overlays: [fileWith('spec: {}')], set: ['a=1'] })).fingerprint)
    expect(again[0]).toMatch(/^[0-9a-f]{64}$/)
    expect(again[0]).toBe(again[1])
  })

  test('has another fingerprint when any part of it changes', () => {
    const file = (text: string) => ({ overlays: [fileWith(text)] })
    const variants = [{}, { version: '1.31.1' }, { profile: 'minimal' }, { set: ['a=1'] }, { set: ['a=2'] }, { set: ['a=1', 'b=1'] }, file('a: 1'), file('a: 2')]
    const fingerprints = variants.map((more) => wanted(istio(more)).fingerprint)
    expect(new Set(fingerprints).size).toBe(variants.length)
  })

  test('has the same fingerprint when only where it is downloaded from, or how long it may take, changes', () => {
    expect(wanted(istio({ mirror: 'https://mirror.example', timeout: 1 })).fingerprint).toBe(wanted(istio()).fingerprint)
  })

  test('names a file that is not there', () => {
    const missing = () => wanted(istio({ overlays: ['/no/such/istio.yaml'] }))
    expect(missing).toThrow(ConfigError)
    expect(missing).toThrow('istio.overlays: the file /no/such/istio.yaml cannot be read (ENOENT)')
  })
})

/** A cluster with an istiod of this image, and what was recorded beside it: a fake, for an istiod of any version is at hand. */
function clusterOf(image: string | undefined, record?: Record<string, string>, availableReplicas = 1) {
  const state = { image, record, applied: [] as KubeObject[] }
  const cluster = clusterWith({
    list: () => Promise.resolve(state.image === undefined ? [] : [{ spec: { template: { spec: { containers: [{ name: 'other', image: 'x:9' }, { name: 'discovery', image: state.image }] } } }, status: { availableReplicas } }]),
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
    expect((await installedVersion(clusterOf(image).cluster))?.version).toBe(version)
  })
})

describe('the mesh is brought about', () => {
  const asked = wanted(istio())
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
    expect(installs).toEqual(action === 'unchanged' ? [] : [['--set', 'profile=demo']])
    expect(state.applied).toEqual(action === 'unchanged' ? [] : [expect.objectContaining({ kind: 'ConfigMap', data: asRecorded })])
  })

  test('a failed installation is not recorded, so that the next run tries again', async () => {
    const { state, cluster } = clusterOf(undefined)
    await expect(ensureMesh(cluster, asked, () => Promise.reject(new Error('no room')))).rejects.toThrow('no room')
    expect(state.applied).toEqual([])
  })
})
