import { expect, test } from 'vitest'
import { unjudgedRoutes } from '../../../../src/canary/traffic/unjudged-routes.ts'
import type { VirtualService } from '../../../../src/cluster/objects.ts'
import { planOf, split, to, virtualService } from '../../fixtures.ts'

const http = virtualService([{ name: 'api', route: [to('v1', 100), to('v2', 0)] }])
const game: VirtualService = {
  ...http,
  spec: { ...http.spec, tcp: [{ match: [{ port: 9000 }], route: [to('v1', 100), to('v2', 0)] }] },
}
const faults = (plan = '', object = game, more: { routes?: string[] } = {}) =>
  unjudgedRoutes([object], { ...split, ...more }, planOf(plan))

test.each([
  ['tcp', game],
  ['tls', { ...http, spec: { hosts: ['backend'], tls: [{ route: [to('v1', 100), to('v2', 0)] }] } }],
])('a %s route that splits is refused if only requests are judged', (section, object) => {
  expect(faults('', object)).toEqual([
    expect.stringContaining(`the route ${section}[0] of the VirtualService shop/backend moves connections`),
  ])
})

test.each<[string, string[]]>([
  [
    'a query',
    faults('prometheus: { address: "http://prometheus:9090" }, checks: { queries: { resets: { query: up, max: 1 } } }'),
  ],
  ['a command', faults('checks: { commands: { play: { run: [./play.sh] } } }')],
  ['a rollout webhook', faults('webhooks: { play: { type: rollout, url: "http://tester/" } }')],
  ['other counters', faults('metrics: { requests: opened_total }')],
  ['no request, as the plan says', faults('checks: { minRequests: 0 }')],
  ['its requests, if only named http routes move', faults('', game, { routes: ['api'] })],
  ['its requests, if it has no such route', faults('', http)],
  [
    'its requests, if the route does not split',
    faults('', { ...http, spec: { ...http.spec, tcp: [{ route: [to('v1')] }] } }),
  ],
])('a canary is judged by %s', (_, found) => {
  expect(found).toEqual([])
})
