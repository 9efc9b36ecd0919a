import { expect, test } from 'vitest'
import type { KubeObject, Pod, VirtualService } from '../../../src/cluster/objects.ts'
import { rollback } from '../../../src/stages/promote.ts'
import type { StageContext } from '../../../src/stages/context.ts'
import { clusterWith, configOf, pod, to, virtualService } from '../fixtures.ts'
import { patched } from '../patched.ts'

const podOf = (version: string, ready = true) =>
  pod({
    metadata: { name: version, uid: version, labels: { app: 'backend', version } },
    status: { phase: 'Running', conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
  })

/** Rolls back from weight 60; returns the weight afterwards, the error and the lines. */
async function rollBack(pods: Pod[], selector: Record<string, string> = { app: 'backend' }, canRead = true) {
  let route: VirtualService = virtualService([{ route: [to('v1', 40), to('v2', 60)] }])
  const lines: string[] = []
  const objects: KubeObject[] = [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'backend', namespace: 'shop' },
      ...{ spec: { selector, ports: [{ port: 80 }] } },
    },
  ]
  const cluster = clusterWith({
    get: (kind: string) => Promise.resolve(objects.find((each) => each.kind === kind)),
    list: (kind: string) => {
      if (kind === 'Pod') return canRead ? Promise.resolve(pods) : Promise.reject(new Error('pods is forbidden'))
      return Promise.resolve(kind === 'VirtualService' ? [structuredClone(route)] : [])
    },
    patch: (_: string, __: string, ___: string, operations: never) =>
      Promise.resolve((route = patched(route, operations))),
    pod: () => Promise.resolve(''),
  })
  const context = {
    config: configOf('namespace: shop\ncanary: { service: backend, progressDeadline: 1s }'),
    cluster,
    host: { runName: 'run 7', info: (line: string) => lines.push(line) },
    recorder: { record: () => undefined },
  } as unknown as StageContext
  const error = await rollback(context).then(
    () => undefined,
    (problem: unknown) => (problem as Error).message,
  )
  return { weight: route.spec.http![0]!.route![1]!.weight, error, lines }
}

test.each<[string, Pod[], Record<string, string> | undefined, string]>([
  [
    'has no pod',
    [podOf('v2')],
    undefined,
    'no ready pod of v1 is behind the Service shop/backend, so every request there would get a 503: scale v1 up',
  ],
  ['has no ready pod', [podOf('v1', false), podOf('v2')], undefined, 'no ready pod of v1 is behind the Service'],
  [
    'is not behind the Service',
    [podOf('v1'), podOf('v2')],
    { app: 'backend', version: 'v2' },
    'the Service shop/backend selects only pods with version=v2, but the subset v1 has the label version=v1',
  ],
])('the stage rollback changes nothing if stable %s, and says what to do', async (_, pods, selector, message) => {
  const { weight, error } = await rollBack(pods, selector)
  expect(weight).toBe(60)
  expect(error).toContain(message)
  expect(error).toContain('then run the stage rollback again: nothing was changed')
})

test('the stage rollback returns the traffic if it cannot read the pods, and says so', async () => {
  const { weight, lines } = await rollBack([podOf('v2')], undefined, false)
  expect(weight).toBe(0)
  expect(lines[0]).toBe('cannot check whether v1 of backend serves: pods is forbidden')
})
