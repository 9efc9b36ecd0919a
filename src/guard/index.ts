// The guard's program. It is a bundle of its own (dist/guard.mjs), because it runs in the cluster with only Node.js.
import { readFileSync } from 'node:fs'
import { guardSpecFile, type GuardSpec } from '../canary/ownership/guard-spec.ts'
import { createClient, urgent } from '../cluster/client.ts'
import type { ApiAccess } from '../cluster/credentials.ts'
import { systemClock } from '../runtime/clock.ts'
import type { ExperimentGuardSpec } from '../experiments/guard-spec.ts'
import { watchExperiment } from './experiment-watchdog.ts'
import { serveReadiness } from './readiness.ts'
import { watchLease } from './watchdog.ts'

const account = '/var/run/secrets/kubernetes.io/serviceaccount'

/** Connects as the pod's service account. Reads the token for every request, because Kubernetes renews it in place. */
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
    config: { applyToHTTPSOptions, getCurrentCluster: () => null, getCurrentUser: () => null },
  }
}

const log = (line: string) => console.log(`${new Date().toISOString()} ${line}`)
const spec = JSON.parse(readFileSync(guardSpecFile, 'utf8')) as GuardSpec | ExperimentGuardSpec
process.on('SIGTERM', () => process.exit(143))
log(`watching the Lease ${spec.namespace}/${spec.lease} of ${spec.identity}`)
const { leaseRead } = serveReadiness(log)
const [cluster, deps] = [urgent(createClient(inCluster())), { clock: systemClock, log, leaseRead }]
log(await ('experiment' in spec ? watchExperiment(cluster, spec, deps) : watchLease(cluster, spec, deps)))
process.exit()
