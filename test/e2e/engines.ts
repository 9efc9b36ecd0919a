// Real controllers of Argo Rollouts and Flagger on the embedded mesh.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { goModule, goTool } from '../mesh/index.ts'
import type { TestCluster } from './world.ts'

/** Starts both, and waits until they are ready. `home`: where their manifest may be. @returns how to end them. */
export async function startEngines({ run }: TestCluster, home: string): Promise<() => Promise<void>> {
  const argo = await goTool('rollouts-controller')
  const flagger = await goTool('flagger')
  const argoCrds = join(await goModule('github.com/argoproj/argo-rollouts', 'rollouts-controller'), 'manifests/crds')
  const flaggerCrds = join(await goModule('github.com/fluxcd/flagger', 'flagger'), 'artifacts/flagger/crd.yaml')
  const crds = [
    ...readdirSync(argoCrds)
      .filter((name) => name.endsWith('-crd.yaml'))
      .map((name) => join(argoCrds, name)),
    flaggerCrds,
  ]
  const crdFiles = crds.flatMap((crd) => ['-f', crd])
  const file = join(home, 'engines.yaml')
  const text = readFileSync(resolve(import.meta.dirname, 'engines.yaml'), 'utf8')
    .replace('{ path: ROLLOUTS_CONTROLLER }', `{ path: ${dirname(argo)} }`)
    .replace('{ path: FLAGGER }', `{ path: ${dirname(flagger)} }`)
  writeFileSync(file, text)
  // Their annotations would be too long for a client-side apply.
  await run(['kubectl', 'apply', '--server-side', ...crdFiles])
  await run(['kubectl', 'wait', '--for=condition=Established', ...crdFiles, '--timeout=60s'])
  await run(['kubectl', 'apply', '-f', file])
  for (const name of ['argo-rollouts', 'flagger'])
    await run(['kubectl', '-n', 'engines', 'rollout', 'status', `deploy/${name}`, '--timeout=120s'])
  return async () => void (await run(['kubectl', 'delete', 'namespace', 'engines', '--wait=false']))
}
