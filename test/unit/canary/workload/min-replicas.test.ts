import { describe, expect, test } from 'vitest'
import { ApiError } from '../../../../src/cluster/api-error.ts'
import type { PatchOperation } from '../../../../src/cluster/client.ts'
import type { HorizontalPodAutoscaler, Service, Workload } from '../../../../src/cluster/objects.ts'
import { raiseMinReplicas, restoreMinReplicas } from '../../../../src/canary/workload/min-replicas.ts'
import { FakeClock } from '../../fake-clock.ts'
import { clusterWith } from '../../fixtures.ts'
import { patched } from '../../patched.ts'

const till = { kind: 'Deployment', metadata: { name: 'till', namespace: 'shop' } } as Workload

function autoscaler(minReplicas: number, more: Partial<HorizontalPodAutoscaler> = {}): HorizontalPodAutoscaler {
  return {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata: { name: 'till', namespace: 'shop' },
    spec: { scaleTargetRef: { kind: 'Deployment', name: 'till' }, minReplicas, maxReplicas: 6 },
    ...more,
  }
}
const wantsFewer = { conditions: [{ type: 'ScalingLimited', status: 'True', reason: 'TooFewReplicas' }] }

/** A cluster with this autoscaler. `refusals`: what the API server answers to the first writes. */
function clusterOf(only?: HorizontalPodAutoscaler, refusals: ApiError[] = []) {
  let held = only
  const notes: string[] = []
  const warnings: string[] = []
  const clock = new FakeClock()
  const services: Record<string, Service['spec']> = {
    till: { selector: { app: 'till' }, ports: [] },
    desk: { selector: { app: 'desk' }, ports: [] },
  }
  const cluster = clusterWith({
    get: (kind: string, _namespace: string, name: string) => {
      const deployment =
        name === 'till' ? { ...till, spec: { template: { metadata: { labels: { app: 'till' } } } } } : undefined
      return Promise.resolve(kind === 'Service' ? { kind, metadata: { name }, spec: services[name] } : deployment)
    },
    list: () => Promise.resolve(held ? [structuredClone(held)] : []),
    patch: (_kind: string, _namespace: string, _name: string, operations: PatchOperation[]) => {
      const refusal = refusals.shift()
      if (refusal) return Promise.reject(refusal)
      return Promise.resolve((held = patched(held!, operations)))
    },
  })
  const { signal } = new AbortController()
  const deps = {
    note: (line: string) => notes.push(line),
    warn: (line: string) => warnings.push(line),
    signal,
    clock,
  }
  return {
    notes,
    warnings,
    clock,
    held: () => held!,
    set: (next: HorizontalPodAutoscaler) => (held = next),
    raise: (replicas: number) => raiseMinReplicas(cluster, 'till', till, replicas, deps),
    restore: (service = 'till', aborted?: AbortSignal) =>
      restoreMinReplicas(cluster, 'shop', service, { ...deps, signal: aborted ?? signal }),
  }
}
const minimum = ({ spec }: HorizontalPodAutoscaler) => spec.minReplicas

describe('the minimum of the autoscaler of stable', () => {
  test('is raised, and given back as it was', async () => {
    const { raise, restore, held, notes } = clusterOf(autoscaler(2))
    expect(await raise(4)).toBe(4)
    expect(minimum(held())).toBe(4)
    await restore()
    expect(held()).toEqual({ ...autoscaler(2), metadata: { ...autoscaler(2).metadata, annotations: {} } })
    expect(notes).toEqual([
      'HorizontalPodAutoscaler/till: minReplicas 2 → 4, until stable has all the traffic again',
      'HorizontalPodAutoscaler/till: minReplicas 4 → 2',
    ])
  })

  test('is raised again by a later step or run, and is then what it was at first', async () => {
    const { raise, restore, held } = clusterOf(
      autoscaler(2, { metadata: { name: 'till', annotations: { team: 'a' } } }),
    )
    await raise(3)
    await raise(5)
    expect(minimum(held())).toBe(5)
    await restore()
    expect(held()).toMatchObject({ metadata: { annotations: { team: 'a' } }, spec: { minReplicas: 2 } })
  })

  test('is never above the maximum, and is left alone if it is high enough', async () => {
    const high = clusterOf(autoscaler(2))
    expect(await high.raise(9)).toBe(6)
    expect(minimum(high.held())).toBe(6)
    const enough = clusterOf(autoscaler(5))
    expect(await enough.raise(4)).toBe(4)
    expect(enough.held()).toEqual(autoscaler(5))
  })

  test('stays what somebody else has set it to meanwhile', async () => {
    const { raise, restore, held, set } = clusterOf(autoscaler(2))
    await raise(4)
    set({ ...held(), spec: { ...held().spec, minReplicas: 3 } })
    await restore()
    expect(minimum(held())).toBe(3)
    await raise(5)
    await restore()
    expect(minimum(held())).toBe(3)
  })

  test('is given back when the autoscaler has seen the traffic, and after a minute at the latest', async () => {
    const quick = clusterOf(autoscaler(2))
    await quick.raise(4)
    await quick.restore()
    expect(quick.clock.now()).toBe(new FakeClock().now())
    const slow = clusterOf(autoscaler(2, { status: wantsFewer }))
    await slow.raise(4)
    const begun = slow.clock.now()
    await slow.restore()
    expect((slow.clock.now() - begun) / 1_000).toBe(60)
    expect(minimum(slow.held())).toBe(2)
  })

  test('stays as it is in a run that is cancelled, which warns of it', async () => {
    const { raise, restore, held, warnings } = clusterOf(autoscaler(2))
    await raise(4)
    const unrestored =
      'the run was cancelled, so HorizontalPodAutoscaler/till keeps minReplicas 4 (before the promotion: 2); ' +
      'the stage `rollback` restores minReplicas'
    expect(await restore('till', AbortSignal.abort())).toEqual({ changed: false, unrestored })
    expect(minimum(held())).toBe(4)
    expect(warnings).toEqual([unrestored])
    expect(await restore()).toEqual({ changed: true })
    expect(minimum(held())).toBe(2)
  })

  test('is nothing to warn of in a cancelled run if nobody has raised it, or somebody has written it since', async () => {
    expect(await clusterOf(autoscaler(2)).restore('till', AbortSignal.abort())).toEqual({ changed: false })
    const { raise, restore, held, set, warnings } = clusterOf(autoscaler(2))
    await raise(4)
    set({ ...held(), spec: { ...held().spec, minReplicas: 3 } })
    expect(await restore('till', AbortSignal.abort())).toEqual({ changed: false })
    expect(warnings).toEqual([])
  })

  test('that the account may not restore is an error with both values', async () => {
    const refusals: ApiError[] = []
    const { raise, restore } = clusterOf(autoscaler(2), refusals)
    await raise(4)
    refusals.push(new ApiError(403, 'User "ci" cannot patch resource "horizontalpodautoscalers"'))
    await expect(restore()).rejects.toThrow(
      /^HorizontalPodAutoscaler\/till keeps minReplicas 4, because the run could not set 2, as before the promotion: .*deliver\.yaml$/,
    )
  })

  test('is given back for its own service only', async () => {
    const { raise, restore, held } = clusterOf(autoscaler(2))
    await raise(4)
    await restore('desk')
    expect(minimum(held())).toBe(4)
  })

  describe.each([
    '',
    'null',
    '{"service":"till"',
    '{"service":"till","from":2}',
    '{"service":"till","from":"2","to":4}',
    '{"service":"till","from":-1,"to":4}',
  ])('whose record somebody has changed to %j', (text) => {
    const changed = (more: Partial<HorizontalPodAutoscaler['spec']> = {}) => {
      const metadata = { name: 'till', namespace: 'shop', annotations: { 'mesh-canary.io/raised-minimum': text } }
      const original = autoscaler(4, { metadata })
      return clusterOf({ ...original, spec: { ...original.spec, ...more } })
    }
    const message =
      `HorizontalPodAutoscaler/till: the annotation mesh-canary.io/raised-minimum is '${text}'; ` +
      'expected JSON such as {"service":"till","from":2,"to":4}, by which the run restores minReplicas: ' +
      'set them to what they were (now 4), remove the annotation ' +
      '(kubectl -n shop annotate hpa till mesh-canary.io/raised-minimum-), and run again'

    test('is an error that says what to do, before anything is written', async () => {
      const { restore, raise, held } = changed()
      const before = held()
      await expect(restore()).rejects.toThrow(message)
      await expect(raise(5)).rejects.toThrow(message)
      expect(held()).toBe(before)
    })

    test('does not matter to another service', async () => {
      expect(await changed().restore('desk')).toEqual({ changed: false })
      const scaleTargetRef = { kind: 'Deployment', name: 'desk' }
      expect(await changed({ scaleTargetRef }).restore()).toEqual({ changed: false })
    })
  })

  test('is written again if somebody else writes it at the same time', async () => {
    const { raise, held } = clusterOf(autoscaler(2), [
      new ApiError(422, 'the test failed'),
      new ApiError(409, 'conflict'),
    ])
    await raise(4)
    expect(minimum(held())).toBe(4)
  })

  test('that the account may not write is an error, which says what to do', async () => {
    const refusal = new ApiError(403, 'User "ci" cannot patch resource "horizontalpodautoscalers"')
    await expect(clusterOf(autoscaler(2), [refusal]).raise(4)).rejects.toThrow(
      /^the HorizontalPodAutoscaler\/till would scale stable down .* may not raise its minReplicas to 4 .*deliver\.yaml$/,
    )
  })

  test('is none without an autoscaler', async () => {
    expect(await clusterOf().raise(4)).toBeUndefined()
    expect(await clusterOf().restore()).toEqual({ changed: false })
  })
})
