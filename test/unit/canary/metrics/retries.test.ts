import { describe, expect, test } from 'vitest'
import {
  defaultRetries,
  mostTries,
  retryDefaults,
  retryPolicies,
  type RetryPolicy,
} from '../../../../src/canary/metrics/retries.ts'
import type { GatewayRoute } from '../../../../src/cluster/objects.ts'
import type { Split } from '../../../../src/policies/routes.ts'
import { to, virtualService } from '../../fixtures.ts'

const split: Split = {
  namespace: 'shop',
  service: 'backend',
  stable: { by: 'subset', name: 'v1' },
  canary: { by: 'subset', name: 'v2' },
}
const both = { route: [to('v1', 90), to('v2', 10)] }

describe('the retries of a service', () => {
  test('are those of each route to it, with the default where a route states none', () => {
    const routes = [
      { ...both, retries: { attempts: 4, perTryTimeout: '1s', retryOn: '5xx, reset' } },
      { route: [to('v2')], retries: { attempts: 0 } },
      both,
      { route: [to('v1', 100, 'reviews')], retries: { attempts: 9 } },
    ]
    expect(retryPolicies([virtualService(routes)], split)).toEqual([
      { tries: 5, conditions: ['5xx', 'reset'], endsTries: true },
      { tries: 1, conditions: defaultRetries.conditions, endsTries: false },
      defaultRetries,
    ])
  })

  test('are also those of a VirtualService that delegates to a route without any', () => {
    const retries = { attempts: 6, retryOn: '5xx' }
    const delegate = { ...virtualService([both], { name: 'backend-routes' }) }
    const root = virtualService([
      { delegate: { name: 'backend-routes' }, retries },
      { delegate: { name: 'reviews-routes' }, retries: { attempts: 9 } },
    ])
    expect(retryPolicies([root, delegate], split)).toEqual([
      { tries: 7, conditions: ['5xx'], endsTries: false },
      defaultRetries,
    ])
  })

  test('are those of the default without a route', () => {
    expect(retryPolicies([], split)).toEqual([defaultRetries])
  })

  test("are the mesh's own where a route states none, of each revision", () => {
    const defaults = retryDefaults([{ defaultHttpRetryPolicy: { attempts: 5, retryOn: '5xx' } }, {}])
    const five = { tries: 6, conditions: ['5xx'], endsTries: false }
    expect(defaults).toEqual([five, defaultRetries])
    expect(retryPolicies([virtualService([both, { ...both, retries: { attempts: 0 } }])], split, defaults)).toEqual([
      five,
      defaultRetries,
      { tries: 1, conditions: defaultRetries.conditions, endsTries: false },
    ])
    expect(retryPolicies([], split, defaults)).toEqual(defaults)
    expect(retryDefaults([])).toEqual([defaultRetries])
  })

  test('are those of an HTTPRoute, which adds its codes to the default', () => {
    const rule = (more: object) => ({ backendRefs: [{ name: 'backend', weight: 1 }], ...more })
    const route: GatewayRoute = {
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'HTTPRoute',
      metadata: { name: 'backend', namespace: 'shop' },
      spec: {
        rules: [
          rule({ retry: { attempts: 4, codes: [500, 503] }, timeouts: { backendRequest: '1s' } }),
          rule({ retry: { codes: [500] } }),
          rule({}),
        ],
      },
    }
    expect(retryPolicies([route], split)).toEqual([
      { tries: 5, conditions: [...defaultRetries.conditions, '500', '503'], endsTries: true },
      { tries: 3, conditions: [...defaultRetries.conditions, '500'], endsTries: false },
      defaultRetries,
    ])
  })

  test('have the default conditions where a policy states none', () => {
    expect(retryPolicies([virtualService([{ ...both, retries: { attempts: 1 } }])], split)).toEqual([
      { ...defaultRetries, tries: 2 },
    ])
  })
})

describe('the most tries of one call', () => {
  const policy = (retryOn: string, more: Partial<RetryPolicy> = {}): RetryPolicy => ({
    tries: 4,
    conditions: retryOn.split(','),
    endsTries: false,
    ...more,
  })
  const status = (code: string) => ({ response_code: code, response_flags: '-' })
  const grpc = (code: string) => ({ response_code: '200', grpc_response_status: code })
  const cutOff = { response_code: '0', response_flags: 'DC' }

  test.each<[string, RetryPolicy, Record<string, string>, number]>([
    ['any 5xx', policy('5xx'), status('500'), 4],
    ['a 503 as a gateway error', policy('gateway-error'), status('503'), 4],
    ['a 500, which is no gateway error', policy('gateway-error'), status('500'), 1],
    ['a status code of its own', policy('retriable-status-codes,500'), status('500'), 4],
    ['another status code', policy('503'), status('500'), 1],
    ['a 503 by default', defaultRetries, status('503'), 1],
    ['Unavailable by default', defaultRetries, grpc('14'), 3],
    ['Internal by default', defaultRetries, grpc('13'), 1],
    ['Internal', policy('internal'), grpc('13'), 4],
    ['a try that the caller ended', policy('5xx', { endsTries: true }), cutOff, 4],
    ['a call that the caller ended', policy('5xx'), cutOff, 1],
    ['anything by a condition that is not known', policy('retriable-headers'), status('500'), 4],
  ])('with %s', (_, retries, labels, tries) => {
    expect(mostTries([retries], labels)).toBe(tries)
  })

  test('is that of the route with the most', () => {
    expect(mostTries([policy('5xx'), policy('5xx', { tries: 7 }), policy('503', { tries: 9 })], status('500'))).toBe(7)
  })
})
