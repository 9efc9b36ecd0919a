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

type Now = { workloads?: Workload[]; pods?: Pod[]; moving?: boolean }

/** What is said of a canary that was `from` at first, look after look. */
function looks(from: Required<Pick<Now, 'workloads' | 'pods'>>, ...seen: Now[]): (string | undefined)[] {
  let life: Revision = recordRevision(from.workloads, from.pods, labels)
  return seen.map(({ workloads = from.workloads, pods = from.pods, moving = true }) => {
    const was = checkRevision(life, workloads, pods, labels, moving)
    life = was.life
    return was.fault
  })
}

const usual = { workloads: [made()], pods: [running()] }
const anew = ': what was seen of it says nothing of what runs now; run again to promote that'

describe('in the middle of its promotion a canary may be', () => {
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
    ['scaled by somebody who leaves no number', { workloads: [made()] }],
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
    expect(looks(usual, now, now, now)).toEqual([undefined, undefined, undefined])
  })

  test('evicted, when its successor is ready with the next look but one', () => {
    expect(looks(usual, {}, { pods: [leaving, pending] }, {}, { pods: [pending] }, {})).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
    ])
  })

  test('without a pod or scaled to 0 while it gets no traffic, for as long as it takes', () => {
    const none = { workloads: [made('backend:2', { replicas: 0 })], pods: [], moving: false }
    expect(looks(usual, none, none, none, {})).toEqual([undefined, undefined, undefined, undefined])
  })
})

describe('a canary is put back when it', () => {
  test.each<[string, Now, string]>([
    [
      'gets another image',
      { workloads: [made('backend:3')] },
      `Deployment/backend-v2 was changed in the middle of its promotion (backend:2 → backend:3)${anew}`,
    ],
    [
      'gets another annotation on its pods',
      { workloads: [made('backend:2', { annotations: { 'checksum/config': 'b' } })] },
      `Deployment/backend-v2 was changed in the middle of its promotion${anew}`,
    ],
    [
      'gets another image while it has no traffic yet',
      { workloads: [made('backend:3')], moving: false },
      `Deployment/backend-v2 was changed in the middle of its promotion (backend:2 → backend:3)${anew}`,
    ],
    [
      'gets a second workload',
      { workloads: [made(), made('backend:3', { kind: 'StatefulSet', name: 'extra' })] },
      `Deployment/backend-v2, StatefulSet/extra was changed in the middle of its promotion${anew}`,
    ],
    [
      'is scaled to 0',
      { workloads: [made('backend:2', { replicas: 0 })] },
      'Deployment/backend-v2 was scaled to 0 in the middle of its promotion',
    ],
    [
      'is deleted',
      { workloads: [], pods: [] },
      'the workload of the canary was deleted in the middle of its promotion',
    ],
  ])('%s, at once', (_, now, fault) => {
    expect(looks(usual, now)).toEqual([fault])
  })

  test('has several workloads, and only all of them are scaled to 0', () => {
    const two = (first: number, second: number) => [
      made('backend:2', { replicas: first }),
      made('backend:2', { kind: 'StatefulSet', name: 'extra', replicas: second }),
    ]
    const fault = 'Deployment/backend-v2, StatefulSet/extra was scaled to 0 in the middle of its promotion'
    expect(
      looks({ workloads: two(1, 1), pods: [running()] }, { workloads: two(0, 1) }, { workloads: two(0, 0) }),
    ).toEqual([undefined, fault])
  })

  test.each([
    ['is gone', []],
    ['is not ready', [pending]],
    ['is about to go', [leaving]],
  ])('has no pod in two looks in a row but one that %s', (_, pods) => {
    expect(looks(usual, { pods }, { pods })).toEqual([undefined, 'no pod of the canary is ready any more'])
  })
})

describe('a canary of a controller that is no Deployment or StatefulSet', () => {
  const bare = { workloads: [], pods: [running()] }

  test('is the same version while its pods run the same images, and while there is none', () => {
    expect(looks(bare, { pods: [running(), running('backend:2', 'v2-2')] }, { pods: [] }, {})).toEqual([
      undefined,
      undefined,
      undefined,
    ])
  })

  test('is another one when its pods run another image', () => {
    expect(looks(bare, { pods: [running(), running('backend:3')] })).toEqual([
      `the pods of the canary were changed in the middle of its promotion (backend:2 → backend:3)${anew}`,
    ])
  })

  test('is the version that its first pods are, when they come late', () => {
    expect(
      looks({ workloads: [], pods: [] }, { moving: false }, { pods: [running()] }, { pods: [running('backend:3')] }),
    ).toEqual([undefined, undefined, expect.stringContaining('(backend:2 → backend:3)')])
  })

  test('is put back when it has no pod any more, as any other', () => {
    expect(looks(bare, { pods: [] }, { pods: [] })).toEqual([undefined, 'no pod of the canary is ready any more'])
  })
})
