import { describe, expect, test } from 'vitest'
import { configOf, planOf, refusal } from '../fixtures.ts'

const image = 'image: "registry.test/till:2"'

describe('a release of an image', () => {
  const config = configOf(`canary: { service: till, ${image} }`)

  test('ends with adoption, between versions that the run names', () => {
    expect(config.canary).toMatchObject({
      after: 'adopt',
      stable: { by: 'subset', name: 'stable' },
      canary: { by: 'subset', name: 'canary' },
    })
  })

  test('leaves the subset of stable open to all pods until it knows their labels', () => {
    expect(config.services).toEqual({
      till: { subsets: { stable: {}, canary: { 'mesh-canary.io/canary': 'till' } } },
    })
  })

  test('may use other names, and keeps the other policies of the service', () => {
    const named = configOf(`
      services: { till: { timeout: 3s, subsets: { beta: { track: beta } } } }
      canary: { service: till, stable: blue, canary: green, ${image} }`)
    expect(Object.keys(named.services!['till']!.subsets!)).toEqual(['beta', 'blue', 'green'])
    expect(named.services!['till']!.timeout).toBe(3_000)
  })
})

test('subsets of an earlier config may stay beside it, for header routes', () => {
  const config = configOf(`
    services: { till: { subsets: { v1: { version: v1 }, v2: { version: v2 } } } }
    canary: { service: till, ${image} }`)
  expect(Object.keys(config.services!['till']!.subsets!)).toEqual(['v1', 'v2', 'stable', 'canary'])
})

test('without a release, the versions and what follows stay as they were', () => {
  expect(planOf()).toMatchObject({ after: 'keep', stable: { name: 'v1' }, canary: { name: 'v2' } })
})

test.each([
  ['a tag', 'registry.test:5000/a/b:v1.2-rc_3'],
  ['a digest', `till@sha256:${'a'.repeat(64)}`],
  ['both', `ghcr.io/org/till:1@sha256:${'0'.repeat(64)}`],
])('an image may have %s', (_, written) => {
  expect(planOf(`image: "${written}"`).image).toBe(written)
})

test.each([
  [
    'nothing that tells one release from the next',
    'canary: { service: till, image: registry.test/till }',
    'expected an image with a tag or a digest',
  ],
  ['a port for a tag', 'canary: { service: till, image: "registry.test:5000/till" }', 'expected an image with a tag'],
  ['spaces', 'canary: { service: till, image: "till:1 2" }', 'expected an image'],
  [
    'an expression that nobody filled in',
    'canary: { service: till, image: "till:${{ github.sha }}" }',
    'expected an image',
  ],
])('an image may not have %s', (_, yaml, message) => {
  expect(refusal(yaml)).toContain(message)
})

test.each([
  [
    'two things to release',
    `canary: { service: till, ${image}, manifests: "out/*.yaml" }`,
    'mesh.yaml:1: canary.manifests: `image` says what to release already; give one of the two',
  ],
  [
    'two Deployments at the end',
    `canary: { service: till, ${image}, after: keep }`,
    'mesh.yaml:1: canary.after: keep would leave the traffic on a Deployment that the next release replaces',
  ],
  [
    'a Service as a version',
    `canary: { service: till, ${image}, stable: { service: till }, canary: { service: till-new } }`,
    'mesh.yaml:1: canary.canary: the run chooses how it tells the versions apart',
  ],
  [
    'weights',
    `services: { till: { subsets: { a: { v: a } }, traffic: { a: 100 } } }\ncanary: { service: till, ${image} }`,
    'mesh.yaml:1: services.till.traffic: the promotion of `canary.image` sets the weights of till',
  ],
  [
    'weights beside one of several canaries',
    `services: { till: { subsets: { a: { v: a } }, traffic: { a: 100 } } }\ncanaries: [{ service: till, ${image} }]`,
    'mesh.yaml:1: services.till.traffic: the promotion of `canaries.0.image` sets the weights of till',
  ],
  [
    'labels for a version of the run',
    `services: { till: { subsets: { stable: { v: a } } } }\ncanary: { service: till, stable: stable, canary: next, ${image} }`,
    'mesh.yaml:1: services.till.subsets.stable: with `canary.image` the run finds the labels of stable in the cluster',
  ],
  [
    'a promotion without routes',
    `stages: promote\ncanary: { service: till, ${image} }`,
    'mesh.yaml:1: stages: with `canary.image` the stage promote needs the stage policies',
  ],
  [
    'a name that is too long',
    `canary: { service: ${'s'.repeat(60)}, ${image} }`,
    `the canary would be named ${'s'.repeat(60)}-canary, which has 67 characters, and Kubernetes allows 63`,
  ],
  [
    'what to do with a canary that the run does not create',
    'canary: { service: till, onFail: keep, replicas: 2 }',
    'mesh.yaml:1: canary.onFail: keep is for a canary that the run creates; set `image`, `images` or `manifests`',
  ],
  [
    'a commit of what two Deployments of your own run',
    'canary: { service: till, after: gitops }',
    'mesh.yaml:1: canary.after: gitops is for a canary that the run creates',
  ],
  ['no container', `canary: { service: till, images: { App: "till:1" } }`, 'expected the name of a container'],
  [
    'no replicas',
    `canary: { service: till, ${image}, replicas: 0 }`,
    'expected `same`, `proportional`, or a whole number from 1',
  ],
])('a release cannot have %s', (_, yaml, message) => {
  expect(refusal(yaml)).toContain(message)
})
