import { describe, expect, test } from 'vitest'
import { recordRevision, checkRevision, type Revision } from '../../../../src/canary/workload/revision-check.ts'
import type { Pod, Workload } from '../../../../src/cluster/objects.ts'
import { pod, workload } from '../../fixtures.ts'

const labels = { app: 'backend', version: 'v2' }

function made(
  image = 'backend:2',
  {
    kind = 'Deployment',
    replicas,
    name = 'backend-v2',
    annotations,
  }: { kind?: string; replicas?: number; name?: string; annotations?: Record<string, string> } = {},
): Workload {
  const one = workload(kind, name, {}, replicas === undefined ? {} : { replicas })
  return {
    ...one,
    spec: {
      ...one.spec,
      template: {
        metadata: { labels, ...(annotations ? { annotations } : {}) },
        spec: { containers: [{ name: 'app', image }] },
      },
    },
  }
}

const running = (image = 'backend:2', name = 'v2-1'): Pod =>
  pod({ metadata: { name, labels }, spec: { containers: [{ name: 'app', image }] } })
const pending = pod({
  metadata: { labels },
  spec: { containers: [{ name: 'app', image: 'backend:2' }] },
  status: { phase: 'Pending', conditions: [] },
})
const leaving = pod({
  metadata: { labels, deletionTimestamp: '2026-11-24T20:00:00Z' },
  spec: { containers: [{ name: 'app', image: 'backend:2' }] },
})

type Now = { workloads?: Workload[]; pods?: Pod[]; hasTraffic?: boolean }

/** The fault in each sample of a canary that was `from` when its promotion began. */
function faults(from: Required<Pick<Now, 'workloads' | 'pods'>>, ...samples: Now[]): (string | undefined)[] {
  let revision: Revision = recordRevision(from.workloads, from.pods, labels)
  return samples.map(({ workloads = from.workloads, pods = from.pods, hasTraffic = true }) => {
    const check = checkRevision(revision, workloads, pods, labels, hasTraffic)
    revision = check.revision
    return check.fault
  })
}

const usual = { workloads: [made()], pods: [running()] }
const outdated = ': the evidence so far is about the old version; run again to promote the new one'

describe('during its promotion a canary may be', () => {
  test.each<[string, Now]>([
    ['left as it is', {}],
    [
      'restarted',
      {
        workloads: [
          made('backend:2', { annotations: { 'kubectl.kubernetes.io/restartedAt': '2026-11-24T20:00:00Z' } }),
        ],
        pods: [leaving, running('backend:2', 'v2-2')],
      },
    ],
    ['scaled up', { workloads: [made('backend:2', { replicas: 5 })], pods: [running(), pending] }],
    ['scaled down', { workloads: [made('backend:2', { replicas: 1 })] }],
    ['deployed without a number of replicas', { workloads: [made()] }],
    [
      'beside another version that changes',
      {
        workloads: [
          made(),
          { ...made('backend:9', { name: 'backend-v1' }), spec: workload('Deployment', 'backend').spec },
        ],
      },
    ],
  ])('%s', (_, now) => {
    expect(faults(usual, now, now, now)).toEqual([undefined, undefined, undefined])
  })

  test('without a pod or scaled to 0 for any time while it gets no traffic', () => {
    const none = { workloads: [made('backend:2', { replicas: 0 })], pods: [], hasTraffic: false }
    expect(faults(usual, none, none, none, {})).toEqual([undefined, undefined, undefined, undefined])
  })
})

describe('a canary has a fault when it', () => {
  test.each<[string, Now, string]>([
    [
      'gets another image',
      { workloads: [made('backend:3')] },
      `Deployment/backend-v2 was changed during its promotion (backend:2 → backend:3)${outdated}`,
    ],
    [
      'gets another configuration, which Reloader has restarted its pods for',
      { workloads: [made('backend:2', { annotations: { 'reloader.stakater.com/last-reloaded-from': '{}' } })] },
      `Deployment/backend-v2 was changed during its promotion${outdated}`,
    ],
    [
      'gets another annotation on its pods',
      { workloads: [made('backend:2', { annotations: { 'checksum/config': 'b' } })] },
      `Deployment/backend-v2 was changed during its promotion${outdated}`,
    ],
    [
      'gets another image while it has no traffic yet',
      { workloads: [made('backend:3')], hasTraffic: false },
      `Deployment/backend-v2 was changed during its promotion (backend:2 → backend:3)${outdated}`,
    ],
    [
      'gets a second workload',
      { workloads: [made(), made('backend:3', { kind: 'StatefulSet', name: 'extra' })] },
      `Deployment/backend-v2, StatefulSet/extra was changed during its promotion${outdated}`,
    ],
    [
      'is scaled to 0',
      { workloads: [made('backend:2', { replicas: 0 })] },
      'Deployment/backend-v2 was scaled to 0 during its promotion',
    ],
    ['is deleted', { workloads: [], pods: [] }, 'the workload of the canary was deleted during its promotion'],
  ])('%s, in the first sample', (_, now, fault) => {
    expect(faults(usual, now)).toEqual([fault])
  })

  test('has several workloads and all of them are scaled to 0, but not when only one is', () => {
    const two = (first: number, second: number) => [
      made('backend:2', { replicas: first }),
      made('backend:2', { kind: 'StatefulSet', name: 'extra', replicas: second }),
    ]
    const fault = 'Deployment/backend-v2, StatefulSet/extra was scaled to 0 during its promotion'
    expect(
      faults({ workloads: two(1, 1), pods: [running()] }, { workloads: two(0, 1) }, { workloads: two(0, 0) }),
    ).toEqual([undefined, fault])
  })
})

describe('a canary whose controller is neither a Deployment nor a StatefulSet', () => {
  const withoutWorkload = { workloads: [], pods: [running()] }

  test('is the same version while its pods run the same images, and while it has no pod', () => {
    expect(faults(withoutWorkload, { pods: [running(), running('backend:2', 'v2-2')] }, { pods: [] }, {})).toEqual([
      undefined,
      undefined,
      undefined,
    ])
  })

  test('is another version when its pods run another image', () => {
    expect(faults(withoutWorkload, { pods: [running(), running('backend:3')] })).toEqual([
      `the pods of the canary were changed during its promotion (backend:2 → backend:3)${outdated}`,
    ])
  })

  test('is the version of its first pods even if they appear late', () => {
    expect(
      faults(
        { workloads: [], pods: [] },
        { hasTraffic: false },
        { pods: [running()] },
        { pods: [running('backend:3')] },
      ),
    ).toEqual([undefined, undefined, expect.stringContaining('(backend:2 → backend:3)')])
  })
})
