import { expect, test } from 'vitest'
import { restartOrder } from '../../../src/cli/call-graph.ts'
import type { Service, Workload } from '../../../src/cluster/objects.ts'

type Named = { name: string; calls?: string[]; isTcp?: boolean }

/** The names in the order in which these workloads restart. */
function orderOf(...all: Named[]): string[] {
  const workloads = all.map(({ name, calls = [] }) => ({
    kind: 'Deployment',
    metadata: { name },
    spec: {
      template: {
        metadata: { labels: { app: name } },
        spec: {
          containers: [
            { name: 'app', env: calls.map((each, i) => ({ name: `URL_${i}`, value: `http://${each}:80/` })) },
          ],
        },
      },
    },
  })) as unknown as Workload[]
  const services = all.map(({ name, isTcp = false }) => ({
    metadata: { name },
    spec: { selector: { app: name }, ports: [{ name: isTcp ? 'tcp' : 'http', port: 80 }] },
  })) as unknown as Service[]
  return restartOrder('shop', workloads, services).map(({ metadata }) => metadata.name)
}

test('workloads restart before those that they call', () => {
  const order = orderOf({ name: 'api', calls: ['users'] }, { name: 'users' }, { name: 'web', calls: ['api'] })
  expect(order).toEqual(['web', 'api', 'users'])
})

test('workloads that call nobody keep their order, and those of plain TCP restart last', () => {
  expect(orderOf({ name: 'db', isTcp: true }, { name: 'b' }, { name: 'a' })).toEqual(['b', 'a', 'db'])
})

test('in a circle of calls the first one restarts first, and the others follow it', () => {
  const order = orderOf({ name: 'a', calls: ['b'] }, { name: 'b', calls: ['c'] }, { name: 'c', calls: ['a'] })
  expect(order).toEqual(['a', 'b', 'c'])
})

test('a name within another one is no call', () => {
  expect(orderOf({ name: 'api' }, { name: 'web', calls: ['api-v2'] }, { name: 'api-v2' })).toEqual([
    'api',
    'web',
    'api-v2',
  ])
})

test('a workload that mentions itself waits for nobody', () => {
  expect(orderOf({ name: 'a', calls: ['a'] }, { name: 'b', calls: ['a'] })).toEqual(['b', 'a'])
})

test('a thousand workloads in a chain restart from its beginning', () => {
  const names = Array.from({ length: 1_000 }, (_, i) => `service-${i}`)
  const chain = names.map((name, i) => ({ name, calls: i === 0 ? [] : [names[i - 1]!] }))
  expect(orderOf(...chain)).toEqual(names.toReversed())
})
