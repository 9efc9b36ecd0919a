// The guard's program, a bundle of its own (dist/guard.mjs): it runs in the cluster, with nothing but Node.js beside it.
import { readFileSync } from 'node:fs'
import { client, type ApiAccess } from '../cluster/client.ts'
import { guardSpecFile, type GuardSpec } from '../canary/ownership/guard-spec.ts'
import { watchLease } from './watchdog.ts'

const account = '/var/run/secrets/kubernetes.io/serviceaccount'

/** As the service account of the pod; its token is renewed in place. */
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

const say = (line: string) => console.log(`${new Date().toISOString()} ${line}`)
const orders = JSON.parse(readFileSync(guardSpecFile, 'utf8')) as GuardSpec
process.on('SIGTERM', () => process.exit(143))
say(`watching the Lease ${orders.namespace}/${orders.lease} of ${orders.identity}`)
say(await watchLease(client(inCluster()), orders, say))
process.exit()
