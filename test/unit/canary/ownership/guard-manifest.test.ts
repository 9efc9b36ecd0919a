import { describe, expect, test } from 'vitest'
import { guardName, guardManifest } from '../../../../src/canary/ownership/guard-manifest.ts'
import {
  guardReadinessPort,
  guardSpecFile,
  guardProgramFile,
  type GuardSpec,
} from '../../../../src/canary/ownership/guard-spec.ts'
import type { GatewayRoute, KubeObject } from '../../../../src/cluster/objects.ts'
import { leaseHeldBy } from './fake-leases.ts'
import { planOf, to, virtualService } from '../../fixtures.ts'

const identity = 'https://github.test/shop/backend/actions/runs/6/attempts/1 (deadbeef)'
const vs = virtualService([{ route: [to('v1', 100), to('v2', 0)] }])
const route = (kind: string, name: string): GatewayRoute => ({
  apiVersion: 'gateway.networking.k8s.io/v1',
  kind,
  metadata: { name, namespace: 'shop' },
  spec: {},
})
const specFor = (service: string, saved: GuardSpec['saved'] = [vs]): GuardSpec => ({
  namespace: 'shop',
  service,
  lease: `mesh-canary-${service}`,
  identity,
  afterMs: 30_000,
  split: { namespace: 'shop', service, stable: { by: 'subset', name: 'v1' }, canary: { by: 'subset', name: 'v2' } },
  selectors: { stable: { version: 'v1' }, canary: { version: 'v2' } },
  saved,
})

type Manifest = KubeObject & { [key: string]: unknown }
type Rule = { apiGroups: string[]; resources: string[]; resourceNames?: string[]; verbs: string[] }
type Container = {
  name: string
  image: string
  imagePullPolicy: string
  command: string[]
  resources: { requests: object; limits: object }
  securityContext: object
  volumeMounts: { name: string; mountPath: string; readOnly: boolean }[]
}
type Job = {
  backoffLimit: number
  ttlSecondsAfterFinished: number
  template: {
    metadata: { labels: Record<string, string> }
    spec: {
      serviceAccountName: string
      restartPolicy: string
      automountServiceAccountToken: boolean
      securityContext: object
      containers: Container[]
      volumes: object[]
    }
  }
}

function manifest(
  spec = specFor('backend'),
  guard = planOf('guard: { image: "registry.test/node:24", pullPolicy: Never }').guard,
): Manifest[] {
  return guardManifest(spec, leaseHeldBy(identity), 'the program', guard)
}

const of = (kind: string, objects = manifest()) => objects.find((object) => object.kind === kind)!
const job = () => of('Job')['spec'] as Job

describe('the name of a guard', () => {
  test.each([['backend'], ['b'.repeat(63)], [`${'b'.repeat(41)}-${'c'.repeat(21)}`]])(
    'has 63 characters at most and is valid for a pod, however long the name of the service: %s',
    (service) => {
      const name = guardName(service, identity)
      expect(name.length).toBeLessThanOrEqual(63)
      expect(name).toMatch(/^mesh-canary-[a-z0-9]+(-[a-z0-9]+)*-deadbeef$/)
    },
  )

  test('differs for each claim of the Lease, also when the names of services begin alike', () => {
    const [one, other] = ['b'.repeat(60) + 'aaa', 'b'.repeat(60) + 'ccc']
    expect(guardName(one, 'run 6 (12345678)')).not.toBe(guardName(one, 'run 6 (87654321)'))
    expect(guardName(one, 'run 6 (12345678)')).not.toBe(guardName(other, 'run 6 (87654321)'))
  })

  test('uses only the suffix of the identity', () => {
    expect(guardName('backend', 'a run (of (12345678)')).toBe('mesh-canary-backend-guard-12345678')
    expect(guardName('backend', 'run 6')).toBe('mesh-canary-backend-guard-x')
  })
})

describe('the objects of a guard', () => {
  test('are listed in the order of their dependencies', () => {
    expect(manifest().map(({ kind }) => kind)).toEqual(['ServiceAccount', 'Role', 'RoleBinding', 'ConfigMap', 'Job'])
  })

  test('have one name, the labels of this program, and the Lease as their owner', () => {
    const metadata = {
      name: 'mesh-canary-backend-guard-deadbeef',
      namespace: 'shop',
      labels: { 'app.kubernetes.io/managed-by': 'mesh-canary', 'mesh-canary.io/guard': 'backend' },
      ownerReferences: [
        { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', name: 'mesh-canary-backend', uid: 'lease-1' },
      ],
    }
    expect(manifest().map((object) => object.metadata)).toEqual(Array(5).fill(metadata))
  })

  test('have valid labels, also for the longest name of a service', () => {
    for (const label of Object.values(of('Job', manifest(specFor('b'.repeat(63)))).metadata.labels!))
      expect(label.length).toBeLessThanOrEqual(63)
  })

  test('hold the program and its spec where the container expects them', () => {
    const data = of('ConfigMap')['data'] as Record<string, string>
    const [container] = job().template.spec.containers
    const [mount] = container!.volumeMounts
    expect(data['guard.mjs']).toBe('the program')
    expect(JSON.parse(data['guard-spec.json']!)).toEqual(specFor('backend'))
    expect(Object.keys(data).map((name) => `${mount!.mountPath}/${name}`)).toEqual([guardProgramFile, guardSpecFile])
    expect(container!.command.at(-1)).toBe(guardProgramFile)
    expect(job().template.spec.volumes).toEqual([
      { name: mount!.name, configMap: { name: 'mesh-canary-backend-guard-deadbeef' } },
    ])
  })

  test('are asked where the guard says whether it reads the Lease', () => {
    expect(job().template.spec.containers[0]).toMatchObject({
      readinessProbe: { httpGet: { port: guardReadinessPort } },
    })
  })

  test('use the image and the pull policy of the plan', () => {
    expect(job().template.spec.containers[0]).toMatchObject({
      image: 'registry.test/node:24',
      imagePullPolicy: 'Never',
    })
  })
})

describe('the rights of a guard', () => {
  const rules = (saved: GuardSpec['saved']) => of('Role', manifest(specFor('backend', saved)))['rules'] as Rule[]

  test('are to read and patch the one Lease and the objects with the routes, to read its orders, to list pods and to create events', () => {
    expect(
      rules([vs, virtualService([], { name: 'shop' }), route('HTTPRoute', 'web'), route('GRPCRoute', 'calls')]),
    ).toEqual([
      {
        apiGroups: ['coordination.k8s.io'],
        resources: ['leases'],
        resourceNames: ['mesh-canary-backend'],
        verbs: ['get', 'patch'],
      },
      {
        apiGroups: ['networking.istio.io'],
        resources: ['virtualservices'],
        resourceNames: ['backend', 'shop'],
        verbs: ['get', 'patch'],
      },
      {
        apiGroups: ['gateway.networking.k8s.io'],
        resources: ['httproutes'],
        resourceNames: ['web'],
        verbs: ['get', 'patch'],
      },
      {
        apiGroups: ['gateway.networking.k8s.io'],
        resources: ['grpcroutes'],
        resourceNames: ['calls'],
        verbs: ['get', 'patch'],
      },
      {
        apiGroups: [''],
        resources: ['configmaps'],
        resourceNames: ['mesh-canary-backend-guard-deadbeef'],
        verbs: ['get'],
      },
      { apiGroups: [''], resources: ['pods'], verbs: ['list'] },
      { apiGroups: [''], resources: ['events'], verbs: ['create'] },
    ])
  })

  test('leave out a kind without saved routes: a rule without names would allow all objects', () => {
    expect(rules([vs]).flatMap(({ resources }) => resources)).toEqual([
      'leases',
      'virtualservices',
      'configmaps',
      'pods',
      'events',
    ])
    expect(
      rules([])
        .filter(({ resourceNames }) => resourceNames === undefined || resourceNames.length === 0)
        .map(({ verbs }) => verbs),
    ).toEqual([['list'], ['create']])
  })

  test('are bound to its own account only', () => {
    const name = 'mesh-canary-backend-guard-deadbeef'
    expect(of('RoleBinding')).toMatchObject({
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
      subjects: [{ kind: 'ServiceAccount', name, namespace: 'shop' }],
    })
    expect(job().template.spec.serviceAccountName).toBe(name)
  })

  test('are not given to a pod that uses the account by accident', () => {
    expect(of('ServiceAccount')['automountServiceAccountToken']).toBe(false)
    expect(job().template.spec.automountServiceAccountToken).toBe(true)
  })
})

describe('the pod of a guard', () => {
  test('has no sidecar, which would keep its Job from ending', () => {
    expect(job().template.metadata.labels['sidecar.istio.io/inject']).toBe('false')
  })

  test('has no label of the service or of a version', () => {
    expect(Object.keys(job().template.metadata.labels)).toEqual([
      'app.kubernetes.io/managed-by',
      'mesh-canary.io/guard',
      'sidecar.istio.io/inject',
    ])
  })

  // https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
  test('meets the restricted pod security standard', () => {
    const { spec } = job().template
    expect(spec.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } })
    for (const { securityContext } of spec.containers)
      expect(securityContext).toMatchObject({ allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } })
    for (const field of ['hostNetwork', 'hostPID', 'hostIPC']) expect(spec).not.toHaveProperty(field)
    expect(spec.volumes.flatMap(Object.keys).filter((key) => key !== 'name')).toEqual(['configMap'])
  })

  test('states a request and a limit of CPU and memory, as a quota demands, or those of the plan', () => {
    const resources = (guard = planOf().guard) =>
      (of('Job', manifest(specFor('backend'), guard))['spec'] as Job).template.spec.containers[0]!.resources
    expect(resources()).toEqual({
      requests: { cpu: '25m', memory: '64Mi' },
      limits: { cpu: '500m', memory: '160Mi' },
    })
    const { guard } = planOf('guard: { resources: { requests: { cpu: 50m }, limits: { cpu: 50m, memory: 128Mi } } }')
    expect(resources(guard)).toEqual({
      requests: { cpu: '50m', memory: '64Mi' },
      limits: { cpu: '50m', memory: '128Mi' },
    })
  })

  test('has a read-only file system, and cannot change its spec', () => {
    const [container] = job().template.spec.containers
    expect(container!.securityContext).toMatchObject({ readOnlyRootFilesystem: true })
    expect(container!.volumeMounts.every(({ readOnly }) => readOnly)).toBe(true)
  })

  test('is started again when it fails, and its Job is deleted soon after it has ended', () => {
    expect(job().template.spec.restartPolicy).toBe('OnFailure')
    expect(job().backoffLimit).toBeGreaterThan(10)
    expect(job().ttlSecondsAfterFinished).toBeLessThanOrEqual(300)
  })
})
