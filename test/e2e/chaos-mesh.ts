// A real Chaos Mesh on the embedded mesh: its controller, without its daemon.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { goModule, goTool } from '../mesh/index.ts'
import type { TestCluster } from './world.ts'

/** Starts it, and waits until it is ready. `home`: where its manifest and its certificate may be. @returns how to end it. */
export async function startChaosMesh({ run }: TestCluster, home: string): Promise<() => Promise<void>> {
  const controller = await goTool('chaos-controller-manager')
  const module = await goModule('github.com/chaos-mesh/chaos-mesh', 'chaos-controller-manager')
  const crds = join(module, 'config/crd/bases')
  // Their annotations would be too long for a client-side apply.
  await run(['kubectl', 'apply', '--server-side', '-f', crds])
  await run(['kubectl', 'wait', '--for=condition=Established', '-f', crds, '--timeout=60s'])
  await run(['kubectl', 'apply', '-f', writeManifest(home, dirname(controller))])
  const ready = ['rollout', 'status', 'deploy/chaos-controller-manager', '--timeout=120s']
  await run(['kubectl', '-n', 'chaos-mesh', ...ready])
  return async () => void (await run(['kubectl', 'delete', 'namespace', 'chaos-mesh', '--wait=false']))
}

function writeManifest(home: string, controller: string): string {
  const [file, certificate] = [join(home, 'chaos-mesh.yaml'), join(home, 'certificate')]
  mkdirSync(certificate)
  const [key, out] = [join(certificate, 'tls.key'), join(certificate, 'tls.crt')]
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
  const text = readFileSync(resolve(import.meta.dirname, 'chaos-mesh.yaml'), 'utf8')
  writeFileSync(
    file,
    text
      .replace('{ path: CONTROLLER }', `{ path: ${controller} }`)
      .replace('{ path: CERTIFICATE }', `{ path: ${certificate} }`),
  )
  return file
}
