// How long `plan`, the first apply, a second run and `init` take, by the number of services.
import type { KubeObject } from '../../src/cluster/objects.ts'
import type { Command, RunCost } from './command.ts'
import { serviceName } from './layout.ts'
import { forEachSize, serviceObject, type World } from './world.ts'

export type ServicesRow = { size: number; plan: RunCost; apply: RunCost; again: RunCost; init: RunCost }

const policy = {
  port: 80,
  timeout: '5s',
  retries: { attempts: 2, perTryTimeout: '2s' },
  circuitBreaker: { maxConnections: 100, consecutive5xxErrors: 5, ejectFor: '30s' },
  subsets: { v1: { version: 'v1' } },
}

export function measureServices(world: World, command: Command, sizes: number[]): Promise<ServicesRow[]> {
  return forEachSize(world, 'scale-services', sizes, async (size, namespace) => {
    const numbers = Array.from({ length: size }, (_, i) => i)
    const services = Object.fromEntries(numbers.map((each) => [serviceName(each), policy]))
    const config = command.config('services', { namespace, services })
    await world.create(numbers.flatMap((each) => [serviceObject(namespace, each), deployment(namespace, each)]))
    const measure = async (...args: string[]) => (await command.run(args)).cost
    const plan = await measure('plan', '--config', config)
    const apply = await measure('run', '--stages', 'policies', '--config', config)
    const again = await measure('run', '--stages', 'policies', '--config', config)
    const init = await measure('init', '-', '--namespace', namespace)
    return { size, plan, apply, again, init }
  })
}

/** Without pods, which no part of this benchmark needs. */
function deployment(namespace: string, service: number): KubeObject {
  const labels = { app: serviceName(service), version: 'v1' }
  const containers = [{ name: 'app', image: 'docker.io/mesh-canary/sample-app:1', ports: [{ containerPort: 8080 }] }]
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: serviceName(service), namespace, labels },
    spec: { replicas: 0, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers } } },
  } as KubeObject
}
