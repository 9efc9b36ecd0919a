// The guard's program, a bundle of its own (dist/guard.mjs): it runs in the cluster with nothing but Node.js.
import { readFileSync } from 'node:fs'
import { guardSpecFile, type GuardSpec } from '../canary/ownership/guard-spec.ts'
import { client } from '../cluster/client.ts'
import type { ApiAccess } from '../cluster/request.ts'
import { systemClock } from '../runtime/clock.ts'
import { watchLease } from './watchdog.ts'

const account = '/var/run/secrets/kubernetes.io/serviceaccount'

/** As the service account of the pod. Reads the token for every request, because Kubernetes renews it in place. */
function inCluster(): ApiAccess {
  const { KUBERNETES_SERVICE_HOST: host = '', KUBERNETES_SERVICE_PORT: port = '443' } = process.env
  const applyToHTTPSOptions = (options: object) => {
    Object.assign(options, {
      ca: readFileSync(`${account}/ca.crt`),
      headers: { Authorization: `Bearer ${readFileSync(`${account}/token`, 'utf8').trim()}` },
    })
    return Promise.resolve()
  }
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    config: { applyToHTTPSOptions, getCurrentCluster: () => null },
  }
}

const log = (line: string) => console.log(`${new Date().toISOString()} ${line}`)
const spec = JSON.parse(readFileSync(guardSpecFile, 'utf8')) as GuardSpec
process.on('SIGTERM', () => process.exit(143))
log(`watching the Lease ${spec.namespace}/${spec.lease} of ${spec.identity}`)
log(await watchLease(client(inCluster()), spec, { clock: systemClock, log }))
process.exit()
