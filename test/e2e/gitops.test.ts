// Releases to a Deployment that Flux applies from a Git repository, on the real mesh, with users who call all the time.
import { readFileSync } from 'node:fs'
import { load } from 'js-yaml'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { caller, openArcade, service, shop, type Arcade } from './arcade.ts'
import { eventually } from './echo.ts'
import { startFlux, type Flux } from './flux.ts'
import { sampleImage, sampleImages } from './world.ts'

let arcade: Arcade
let flux: Flux

const kustomization = (files: object) => JSON.stringify({ kind: 'Kustomization', ...files })
const resources = ['deployment.yaml', 'service.yaml']

beforeAll(async () => {
  arcade = await openArcade(caller('dairy'))
  flux = await startFlux(arcade.testCluster, arcade.home, {
    'deployment.yaml': JSON.stringify(shop('dairy', { commit: '4f1c9a2' })),
    'service.yaml': JSON.stringify(service('dairy')),
    'kustomization.yaml': kustomization({ resources }),
  })
  await arcade.ready('dairy')
  await arcade.answered('dairy')
  // As docs/gitops.md says.
  const objects = 'kustomizations.kustomize.toolkit.fluxcd.io,gitrepositories.source.toolkit.fluxcd.io'
  await flux.kubectl('create', 'role', 'mesh-canary-state', '--verb=get', `--resource=${objects}`)
  await flux.kubectl(
    ...['create', 'rolebinding', 'mesh-canary-state', '--role=mesh-canary-state'],
    '--serviceaccount=arcade:mesh-canary',
  )
})
afterAll(async () => {
  await flux.stop()
  await arcade.close()
})

/** Writers of the Deployment, by its managed fields. */
const writers = () => arcade.kubectl('get', 'deploy', 'dairy', '-o', 'jsonpath={.metadata.managedFields[*].manager}')
const generation = () => arcade.kubectl('get', 'deploy', 'dairy', '-o', 'jsonpath={.metadata.generation}')

/** Commits the patch of a run as it is, or changed. */
const commitPatch = (patch: string) =>
  flux.commit({
    'patch.yaml': patch,
    'kustomization.yaml': kustomization({ resources, patches: [{ path: 'patch.yaml' }] }),
  })

/** Waits until Flux has applied everything again since now. */
async function reconcile(): Promise<void> {
  const time = new Date().toISOString()
  await flux.kubectl('annotate', 'kustomization/arcade', '--overwrite', `reconcile.fluxcd.io/requestedAt=${time}`)
  await flux.kubectl(
    'wait',
    'kustomization/arcade',
    `--for=jsonpath={.status.lastHandledReconcileAt}=${time}`,
    '--timeout=60s',
  )
}

test('what nobody commits keeps the traffic on the canary, which Flux leaves alone', async () => {
  const [before, writes] = [await arcade.calls('dairy'), await generation()]
  let during: Promise<void> | undefined
  const plan = `image: "${sampleImages.next}", after: gitops, commitTimeout: 1s`
  const { code, log, outputs } = await arcade.release('dairy', plan, {
    onLine: (line) => {
      if (line.includes('weight: stable 50')) during ??= reconcile()
    },
  })
  expect(code, log).toBe(1)
  expect(outputs).toMatchObject({ verdict: 'held', weight: '100', image: sampleImages.next })
  expect(outputs['reason']).toMatch(
    /Deployment\/dairy has not got the release from Git within 1 s \(the Kustomization flux-system\/arcade has applied main@sha1:/,
  )
  expect(during).toBeDefined()
  await during
  await reconcile()
  expect(await arcade.images('dairy')).toEqual({ dairy: sampleImage, 'dairy-canary': sampleImages.next })
  expect(await arcade.weights('dairy')).toBe('0 100')
  expect(await generation()).toBe(writes)
  await arcade.expectNoFailure('dairy', before)
})

test('a repository that Flux cannot build is named, before the release and at its end', async () => {
  // While Flux tries again, nobody knows that it cannot build. A new commit ends the wait for the next try.
  await flux.kubectl('patch', 'kustomization', 'arcade', '--type=merge', '--patch={"spec":{"retryInterval":"10m"}}')
  flux.commit({ 'kustomization.yaml': kustomization({ resources: [...resources, 'absent.yaml'] }) })
  await flux.kubectl('wait', 'kustomization/arcade', '--for=condition=Ready=false', '--timeout=60s')
  const plan = `image: "${sampleImages.next}", after: gitops, commitTimeout: 1s`
  const { code, log, outputs } = await arcade.release('dairy', plan)
  expect(code, log).toBe(1)
  const fault = /the Kustomization flux-system\/arcade is not ready \(BuildFailed: .*absent\.yaml/
  expect(outputs['reason']).toMatch(fault)
  expect(log).toMatch(new RegExp(`could not arrive from Git now: ${fault.source}`))
  expect(outputs).toMatchObject({ verdict: 'held', weight: '100' })
})

test('the patch of a waiting run is what Flux rolls out, once nobody suspends it; then stable has the traffic', async () => {
  const before = await arcade.calls('dairy')
  await flux.kubectl('patch', 'kustomization', 'arcade', '--type=merge', '--patch={"spec":{"suspend":true}}')
  let resumed: Promise<string> | undefined
  const { code, log, outputs } = await arcade.release('dairy', `image: "${sampleImages.next}", after: gitops`, {
    onLine: (line) => {
      const [, patch] = /commit for dairy: .* as a patch: (\S+)/.exec(line) ?? []
      if (patch !== undefined) commitPatch(readFileSync(patch, 'utf8'))
      if (line.includes('cannot arrive from Git: the Kustomization flux-system/arcade is suspended'))
        resumed ??= flux.kubectl(
          'patch',
          'kustomization',
          'arcade',
          '--type=merge',
          '--patch={"spec":{"suspend":false}}',
        )
    },
  })
  expect(code, log).toBe(0)
  expect(outputs).toMatchObject({ verdict: 'promoted', weight: '0', image: sampleImages.next })
  await reconcile()
  expect(await arcade.images('dairy')).toEqual({ dairy: sampleImages.next })
  expect(await arcade.stableLabels('dairy')).toBe('{}')
  expect(await writers()).not.toContain('mesh-canary')
  await eventually(async () => expect((await arcade.calls('dairy')).last).toBe('v2'))
  await arcade.expectNoFailure('dairy', before)
})

test('the same release again changes nothing', async () => {
  const { code, log, outputs } = await arcade.release('dairy', `image: "${sampleImages.next}", after: gitops`)
  expect(code, log).toBe(0)
  expect(outputs).toMatchObject({ verdict: 'skipped', changed: '0' })
  expect(outputs['reason']).toContain('Deployment/dairy runs this release already')
})

test('a run after the commit completes a release that did not wait, also with another label for the pods', async () => {
  const before = await arcade.calls('dairy')
  const plan = `image: "${sampleImage}", after: gitops, commitTimeout: 0s`
  const held = await arcade.release('dairy', plan)
  expect(held.code, held.log).toBe(0)
  expect(held.outputs).toMatchObject({ verdict: 'held', weight: '100', image: sampleImage })

  const patch = load(readFileSync(held.outputs['patch']!, 'utf8')) as { spec: { template: object } }
  Object.assign(patch.spec.template, { metadata: { labels: { commit: 'c0ffee1' } } })
  commitPatch(JSON.stringify(patch))
  await flux.applied()
  const { code, log, outputs } = await arcade.release('dairy', plan)
  expect(code, log).toBe(0)
  expect(outputs['reason']).toContain('all traffic is there')
  await reconcile()
  expect(await arcade.images('dairy')).toEqual({ dairy: sampleImage })
  expect(await arcade.stableLabels('dairy')).toBe('{}')
  await arcade.expectNoFailure('dairy', before)
})
