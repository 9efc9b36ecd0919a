// A fake namespace that keeps objects of all kinds, for tests of what a fault writes and restores.
import type { Cluster, PatchOperation } from '../../../src/cluster/client.ts'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import { clusterWith } from '../fixtures.ts'
import { patched } from '../patched.ts'

/** Objects of any number, written as the API server writes them. */
export class FakeObjects {
  objects: KubeObject[]
  private version = 10
  constructor(...objects: KubeObject[]) {
    this.objects = objects
  }

  private at(kind: string, name: string): number {
    return this.objects.findIndex((each) => each.kind === kind && each.metadata.name === name)
  }

  find(kind: string, name: string): KubeObject | undefined {
    return this.objects[this.at(kind, name)]
  }

  put(object: KubeObject): KubeObject {
    const at = this.at(object.kind, object.metadata.name)
    if (at < 0) this.objects.push(object)
    else this.objects[at] = object
    return object
  }

  readonly api: Cluster = clusterWith({
    list: (kind: string, namespace: string) =>
      Promise.resolve(
        structuredClone(this.objects.filter((each) => each.kind === kind && each.metadata.namespace === namespace)),
      ),
    get: (kind: string, _: string, name: string) => Promise.resolve(structuredClone(this.objects[this.at(kind, name)])),
    create: (object: KubeObject) => Promise.resolve(this.put(object)),
    apply: (object: KubeObject) => Promise.resolve(this.put(object)),
    remove: (kind: string, _: string, name: string) =>
      Promise.resolve(this.objects.splice(this.at(kind, name), 1).length > 0),
    patch: (kind: string, _: string, name: string, operations: PatchOperation[]) => {
      try {
        const object = patched(this.objects[this.at(kind, name)]!, operations)
        if (Object.keys(object.metadata.annotations ?? {}).length === 0) delete object.metadata.annotations
        object.metadata.resourceVersion = String(++this.version)
        this.objects[this.at(kind, name)] = object
        return Promise.resolve(object)
      } catch (problem) {
        return Promise.reject(new ApiError(422, String(problem)))
      }
    },
  })

  /** Without the versions, which every write changes. */
  get content(): KubeObject[] {
    return this.objects.map(({ metadata: { resourceVersion: _, ...metadata }, ...rest }) => ({ ...rest, metadata }))
  }
}
