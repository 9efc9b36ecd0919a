// A fake cluster with one Lease, for the tests of who owns a promotion.
import type { Cluster, PatchOperation } from '../../../../src/cluster/client.ts'
import { ApiError } from '../../../../src/cluster/api-error.ts'
import type { KubeObject, Lease, Pod, VirtualService } from '../../../../src/cluster/objects.ts'
import { clusterWith, to, virtualService } from '../../fixtures.ts'
import { patched } from '../../patched.ts'

export function leaseHeldBy(
  holder: string,
  more: { annotations?: Record<string, string>; spec?: Lease['spec'] } = {},
): Lease {
  const { annotations = { 'mesh-canary.io/run': 'run 6' }, spec } = more
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: 'mesh-canary-backend', namespace: 'shop', uid: 'lease-1', resourceVersion: '1', annotations },
    spec: {
      holderIdentity: holder,
      leaseDurationSeconds: 30,
      acquireTime: '2026-11-24T20:00:00Z',
      renewTime: '2026-11-24T20:00:00Z',
      ...spec,
    },
  }
}

/**
 * A fake because a real API server does not produce races, lost answers and wrong clocks when a test needs them. It
 * treats a Lease as the real one does: it versions it, refuses a patch that does not apply with 422, and drops an empty
 * map.
 */
export class FakeLeaseCluster {
  lease: Lease | undefined
  /** Every call, as `verb Kind`. */
  readonly calls: string[] = []
  /** Runs before each call. It may change the Lease as someone else would, or return an error for the call. */
  before: (verb: string, kind: string) => Error | undefined = () => undefined
  /** The objects besides the Lease, one of each kind. */
  others: Partial<Record<string, KubeObject>> = {}
  pods: Pod[] = []
  readonly created: KubeObject[] = []
  private version = 1
  private uid = 1

  constructor(lease?: Lease) {
    this.lease = lease
  }

  readonly api: Cluster = clusterWith({
    get: (kind: string) =>
      this.answer('get', kind, () => structuredClone(kind === 'Lease' ? this.lease : this.others[kind])),
    create: (object: Lease) =>
      this.answer('create', object.kind, () => {
        if (object.kind !== 'Lease') return void this.created.push(object)
        if (this.lease) throw new ApiError(409, 'leases "mesh-canary-backend" already exists')
        return this.keep({ ...structuredClone(object), metadata: { ...object.metadata, uid: `lease-${++this.uid}` } })
      }),
    patch: (kind: string, _namespace: string, _name: string, operations: PatchOperation[]) =>
      this.answer('patch', kind, () => (kind === 'Lease' ? this.patch(operations) : this.patchOther(kind, operations))),
    apply: (object: KubeObject) =>
      this.answer('apply', object.kind, () => (this.others[object.kind] = structuredClone(object))),
    list: (kind: string) =>
      this.answer('list', kind, () =>
        kind === 'Pod' ? structuredClone(this.pods) : [structuredClone(this.others[kind])].filter(Boolean),
      ),
    remove: (kind: string, _namespace: string, _name: string, uid?: string) =>
      this.answer('remove', kind, () => {
        if (kind !== 'Lease' || !this.lease) return false
        if (uid !== undefined && uid !== this.lease.metadata.uid)
          throw new ApiError(409, 'the UID in the precondition does not match')
        this.lease = undefined
        return true
      }),
  })

  /** A write by anyone. */
  patch(operations: readonly PatchOperation[]): Lease {
    if (!this.lease) throw new ApiError(404, 'leases "mesh-canary-backend" not found')
    try {
      return this.keep(patched(this.lease, operations))
    } catch {
      throw new ApiError(422, 'the server rejected our request due to an error in our request')
    }
  }

  private patchOther(kind: string, operations: readonly PatchOperation[]): KubeObject {
    try {
      const object = patched(this.others[kind]!, operations)
      object.metadata.resourceVersion = String(++this.version)
      this.others[kind] = object
      return structuredClone(object)
    } catch {
      throw new ApiError(422, 'the server rejected our request due to an error in our request')
    }
  }

  /** The holder renews the Lease. */
  renew(time = 'a moment ago'): void {
    this.patch([{ op: 'add', path: '/spec/renewTime', value: `${time}, ${this.version}` }])
  }

  heldBy(holder: string): void {
    this.patch([{ op: 'add', path: '/spec/holderIdentity', value: holder }])
  }

  get holder(): string | undefined {
    return this.lease?.spec?.holderIdentity ?? undefined
  }

  get annotations(): Record<string, string> {
    return this.lease?.metadata.annotations ?? {}
  }

  private keep(lease: Lease): Lease {
    lease.metadata.resourceVersion = String(++this.version)
    if (Object.keys(lease.metadata.annotations ?? {}).length === 0) delete lease.metadata.annotations
    this.lease = lease
    return structuredClone(lease)
  }

  private async answer<T>(verb: string, kind: string, value: () => T): Promise<T> {
    await Promise.resolve()
    this.calls.push(`${verb} ${kind}`)
    const error = this.before(verb, kind)
    if (error) throw error
    return value()
  }
}

/** A Lease and a VirtualService in which the canary has the weight 25. */
export class FakeNamespace extends FakeLeaseCluster {
  constructor(lease?: Lease) {
    super(lease)
    this.others['VirtualService'] = virtualService([{ route: [to('v1', 75), to('v2', 25)] }])
  }

  get weight(): number | undefined {
    return (this.others['VirtualService'] as VirtualService).spec.http![0]!.route![1]?.weight
  }
}
