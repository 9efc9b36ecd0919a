// A real Chaos Mesh on the embedded mesh: its controller and its daemon.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { containerdSocket, goModule, goTool } from '../mesh/index.ts'
import type { TestCluster } from './world.ts'

/** Starts it, and waits until it is ready. `home`: where its manifest and its certificate may be. @returns how to end it. */
export async function startChaosMesh({ run }: TestCluster, home: string): Promise<() => Promise<void>> {
  const [controller, daemon] = [await goTool('chaos-controller-manager'), await goTool('chaos-daemon')]
  const module = await goModule('github.com/chaos-mesh/chaos-mesh', 'chaos-controller-manager')
  const crds = join(module, 'config/crd/bases')
  // Their annotations would be too long for a client-side apply.
  await run(['kubectl', 'apply', '--server-side', '-f', crds])
  await run(['kubectl', 'wait', '--for=condition=Established', '-f', crds, '--timeout=60s'])
  const places = { CONTROLLER: dirname(controller), DAEMON: dirname(daemon), SOCKET: containerdSocket }
  await run(['kubectl', 'apply', '-f', writeManifest(home, { ...places, CERTIFICATE: makeCertificate(home) })])
  for (const name of ['deploy/chaos-controller-manager', 'daemonset/chaos-daemon'])
    await run(['kubectl', '-n', 'chaos-mesh', 'rollout', 'status', name, '--timeout=120s'])
  return async () => void (await run(['kubectl', 'delete', 'namespace', 'chaos-mesh', '--wait=false']))
}

/** @returns the folder that it is in. */
function makeCertificate(home: string): string {
  const folder = join(home, 'certificate')
  mkdirSync(folder)
  const [key, out] = [join(folder, 'tls.key'), join(folder, 'tls.crt')]
  const request = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-subj',
    '/CN=chaos-mesh',
  ]
  execFileSync('openssl', [...request, '-keyout', key, '-out', out], { stdio: 'ignore' })
  return folder
}

/** `places`: the paths on the node, by the name that the manifest has for each. */
function writeManifest(home: string, places: Record<string, string>): string {
  const file = join(home, 'chaos-mesh.yaml')
  const text = readFileSync(resolve(import.meta.dirname, 'chaos-mesh.yaml'), 'utf8')
  writeFileSync(
    file,
    text.replace(/\{ path: ([A-Z]+) \}/g, (_, name: string) => `{ path: ${places[name]} }`),
  )
  return file
}
