// The credentials for the API server: one certificate authority, and one bearer token for each program.
import { randomBytes } from 'node:crypto'
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { apiServer, kubeconfig, nodeAddress, nodeDir, nodeName } from './settings.ts'
import { sh } from './shell.ts'

/** Kubeconfig file → user, groups. */
const users: Record<string, [user: string, ...groups: string[]]> = {
  [kubeconfig]: ['admin', 'system:masters'],
  [join(nodeDir, 'kube-controller-manager.kubeconfig')]: ['system:kube-controller-manager'],
  [join(nodeDir, 'kube-scheduler.kubeconfig')]: ['system:kube-scheduler'],
  [join(nodeDir, 'kube-proxy.kubeconfig')]: ['system:kube-proxy'],
  [join(nodeDir, 'kubelet.kubeconfig')]: [`system:node:${nodeName}`, 'system:nodes'],
  [join(nodeDir, 'coredns.kubeconfig')]: ['coredns', 'system:masters'],
}

/** Writes ca.*, apiserver.*, service-accounts.*, tokens.csv and the kubeconfigs. */
export async function writeCredentials(): Promise<void> {
  await makeCertificates()
  const ca = (await readFile(join(nodeDir, 'ca.crt'))).toString('base64')
  const rows: string[] = []
  for (const [file, [user, ...groups]] of Object.entries(users)) {
    const token = randomBytes(24).toString('hex')
    rows.push(`${token},${user},${user},"${groups.join(',')}"\n`)
    await writeFile(file, kubeconfigOf(ca, token), { mode: 0o600 })
  }
  await writeFile(join(nodeDir, 'tokens.csv'), rows.join(''), { mode: 0o600 })
}

/** The API server also uses its certificate as the client certificate for the kubelet. */
async function makeCertificates(): Promise<void> {
  const openssl = (...args: string[]): Promise<string> => sh(['openssl', ...args], { cwd: nodeDir })
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const names = `subjectAltName=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:${nodeAddress},IP:10.96.0.1,IP:127.0.0.1`
  await openssl(
    'req',
    '-x509',
    ...key,
    '-days',
    '3650',
    '-subj',
    '/CN=mesh-canary',
    '-keyout',
    'ca.key',
    '-out',
    'ca.crt',
  )
  await openssl(
    'req',
    ...key,
    '-subj',
    '/O=system:masters/CN=kube-apiserver',
    '-addext',
    names,
    '-keyout',
    'apiserver.key',
    '-out',
    'apiserver.csr',
  )
  await openssl(
    'x509',
    '-req',
    '-in',
    'apiserver.csr',
    '-CA',
    'ca.crt',
    '-CAkey',
    'ca.key',
    '-CAcreateserial',
    '-days',
    '3650',
    '-copy_extensions',
    'copy',
    '-out',
    'apiserver.crt',
  )
  await openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', 'service-accounts.key')
  await openssl('pkey', '-in', 'service-accounts.key', '-pubout', '-out', 'service-accounts.pub')
  for (const file of ['ca.key', 'apiserver.key', 'service-accounts.key']) await chmod(join(nodeDir, file), 0o600)
}

/** As JSON, which is valid YAML. */
function kubeconfigOf(ca: string, token: string): string {
  return JSON.stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'mesh-canary',
      contexts: [{ name: 'mesh-canary', context: { cluster: 'mesh-canary', user: 'mesh-canary' } }],
      clusters: [{ name: 'mesh-canary', cluster: { server: apiServer, 'certificate-authority-data': ca } }],
      users: [{ name: 'mesh-canary', user: { token } }],
    },
    null,
    2,
  )
}
