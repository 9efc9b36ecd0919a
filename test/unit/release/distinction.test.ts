import { describe, expect, test } from 'vitest'
import { canaryLabels, distinguish } from '../../../src/release/distinction.ts'

const app = { app: 'till' }
const pods = (now: Record<string, string>, more: object = {}) => ({
  now: { ...app, ...now },
  later: { ...app, ...now },
  service: app,
  deployment: app,
  isScaled: false,
  ...more,
})

describe("stable's own label tells the versions apart", () => {
  test.each([
    ['its version', { version: 'v7', tier: 'web' }, 'version'],
    ['the recommended label', { 'app.kubernetes.io/version': '1.4.0' }, 'app.kubernetes.io/version'],
    ['a label named after a hash', { 'build-hash': 'main' }, 'build-hash'],
    ['a commit under any name', { deployed: '9f3c2ab77d10' }, 'deployed'],
    ['a version number under any name', { artifact: 'v2.0.1-rc.3' }, 'artifact'],
  ])('%s', (_, labels, key) => {
    expect(distinguish('till', pods(labels))).toEqual({
      by: 'subset',
      key,
      value: labels[key as keyof typeof labels],
    })
  })

  test('even if the release changes its value', () => {
    const found = distinguish('till', pods({ version: '1' }, { later: { ...app, version: '2' } }))
    expect(found).toEqual({ by: 'subset', key: 'version', value: '1' })
  })
})

describe('the canary gets a Service of its own', () => {
  const own = { by: 'service', changed: { app: 'till-canary' } }
  test.each([
    ['without any other label', pods({})],
    ['if the other labels name no version', pods({ tier: 'web', release: 'shop' })],
    ['if the Service selects by the version', pods({ version: '1' }, { service: { version: '1', ...app } })],
    ['if the release removes the version', pods({ version: '1' }, { later: app })],
    ['if stable is itself labelled canary', pods({ track: 'canary' })],
    ['if an autoscaler would count the pods of both', pods({ version: '1' }, { isScaled: true })],
  ])('%s', (_, labels) => {
    const found = distinguish('till', labels)
    expect(found).toEqual(labels.service === app ? own : { by: 'service', changed: expect.any(Object) as object })
  })

  test('with a label that Istio does not name it by, if there is another one', () => {
    const selector = { app: 'till', component: 'api' }
    const found = distinguish('till', { ...pods({ component: 'api' }), service: selector, deployment: selector })
    expect(found).toEqual({ by: 'service', changed: { component: 'till-canary' } })
  })
})

test('an autoscaler does not count the canary if the Deployment selects by the version', () => {
  const scaled = pods({ version: '1' }, { isScaled: true, deployment: { ...app, version: '1' } })
  expect(distinguish('till', scaled)).toEqual({ by: 'subset', key: 'version', value: '1' })
})

test("the canary's pods keep all other labels", () => {
  expect(
    canaryLabels('till', { ...app, version: '2', tier: 'web' }, { by: 'subset', key: 'version', value: '1' }),
  ).toEqual({ ...app, version: 'canary', tier: 'web', 'mesh-canary.io/canary': 'till' })
})
