import { expect, test } from 'vitest'
import { ApiError, type PatchOperation } from '../../../src/cluster/client.ts'
import type { VirtualService } from '../../../src/cluster/objects.ts'
import { moveTraffic, readSplit } from '../../../src/canary/traffic.ts'
import { clusterWith, to, virtualService } from '../fixtures.ts'

const split = { namespace: 'shop', service: 'backend', stable: 'v1', canary: 'v2' }
const labels = { 'app.kubernetes.io/managed-by': 'mesh-canary' }
const weights = (canary: number) => [{ name: 'mesh-canary', route: [to('v1', 100 - canary), to('v2', canary)] }]
const inMesh = virtualService(weights(5))
const atGateway = (more: object = { labels }): VirtualService => ({ ...virtualService(weights(5), { name: 'backend-gateway', ...more }), spec: { hosts: ['shop.example.com'], gateways: ['shop/backend-gateway'], http: weights(5) } })

/** A cluster with these objects, which notes what is patched; the first patches are refused so often. */
function keeper(objects: VirtualService[], refusals = 0) {
  const patched: [string, PatchOperation[]][] = []
  const cluster = clusterWith({
    list: () => Promise.resolve(objects),
    patch: (_kind: string, _namespace: string, name: string, operations: PatchOperation[]) => {
      patched.push([name, operations])
      return patched.length <= refusals ? Promise.reject(new ApiError(422, 'the test failed')) : Promise.resolve({})
    },
  })
  return { cluster, names: () => patched.map(([name]) => name) }
}

test('the weight moves in the mesh first, and then at the gateway of the service', async () => {
  const { cluster, names } = keeper([atGateway(), inMesh])
  await moveTraffic(cluster, split, 25)
  expect(names()).toEqual(['backend', 'backend-gateway'])
})

test('an object of that name which is not ours is left alone', async () => {
  const { cluster, names } = keeper([atGateway({}), inMesh])
  await moveTraffic(cluster, split, 25)
  expect(names()).toEqual(['backend'])
})

test('a change by somebody else is read again, and what is in force already is not written', async () => {
  const moved = { ...inMesh, spec: { ...inMesh.spec, http: weights(25) } }
  const { cluster, names } = keeper([moved, atGateway()], 1)
  await moveTraffic(cluster, split, 25)
  expect(names()).toEqual(['backend-gateway', 'backend-gateway'])
})

test('the weights in force are those of the mesh', async () => {
  const gateway = atGateway()
  const { cluster } = keeper([{ ...gateway, spec: { ...gateway.spec, http: weights(50) } }, inMesh])
  expect(await readSplit(cluster, split)).toEqual({ v1: 95, v2: 5 })
})

test('the gateway alone is no split', async () => {
  const { cluster } = keeper([atGateway()])
  await expect(readSplit(cluster, split)).rejects.toThrow('run the stage policies first')
  await expect(moveTraffic(cluster, split, 5)).rejects.toThrow('run the stage policies first')
})
