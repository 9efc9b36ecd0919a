// What a user has on disk: a repository with this action and the sample app in it. Its config files say, beside what they say
// anyway, what only the embedded mesh needs: where istioctl comes from, the images for stock Envoy, its metrics, and no long waits.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { dump, load } from 'js-yaml'
import type { TestCluster } from './world.ts'

const root = resolve(import.meta.dirname, '../..')

/** The folder of a fresh copy. */
export function checkout(testCluster: TestCluster): string {
  const folder = mkdtempSync(join(tmpdir(), 'mesh-canary-checkout-'))
  for (const name of ['action.yml', 'package.json', 'dist', 'examples', 'deploy', 'docs'])
    cpSync(join(root, name), join(folder, name), { recursive: true })
  const config = join(folder, 'examples/sample-app/mesh.yaml')
  writeFileSync(config, adaptedToMesh(testCluster, readFileSync(config, 'utf8')))
  // act asks git for the commit.
  for (const args of [
    ['init', '--quiet', '--initial-branch=main'],
    ['-c', 'user.name=a', '-c', 'user.email=a@example.com', 'commit', '--quiet', '--allow-empty', '--message=all'],
  ])
    execFileSync('git', args, { cwd: folder })
  return folder
}

type Section = Record<string, unknown>

/** A config, or an IstioOperator, as it has to be on this mesh; a section that is not there is not added. */
export function adaptedToMesh({ inputs }: TestCluster, text: string): string {
  const given = load(text) as { istio?: Section; canary?: Section; spec?: Section }
  const { istio, canary, spec } = given
  return dump({
    ...given,
    ...(spec
      ? { spec: { ...(load(readFileSync(inputs['overlays']!, 'utf8')) as { spec: Section }).spec, ...spec } }
      : {}),
    ...(istio ? { istio: { ...istio, mirror: inputs['mirror'], overlays: inputs['overlays'] } } : {}),
    ...(canary ? { canary: { ...canary, interval: '4s', metrics: load(inputs['metrics']!) as Section } } : {}),
  })
}
