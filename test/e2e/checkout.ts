// A user's checkout: a repository with this action and the sample app. Its config files also have the settings that
// only the embedded mesh needs: the mirror for istioctl, the images with stock Envoy, its metrics, and short intervals.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { dump, load } from 'js-yaml'
import type { TestCluster } from './world.ts'

const root = resolve(import.meta.dirname, '../..')

/** Creates a fresh checkout. @returns its folder. */
export function checkout(testCluster: TestCluster): string {
  const folder = mkdtempSync(join(tmpdir(), 'mesh-canary-checkout-'))
  for (const name of ['action.yml', 'package.json', 'dist', 'examples', 'deploy', 'docs'])
    cpSync(join(root, name), join(folder, name), { recursive: true })
  const config = join(folder, 'examples/sample-app/mesh.yaml')
  writeFileSync(config, adaptedToMesh(testCluster, readFileSync(config, 'utf8')))
  // act needs a commit.
  for (const args of [
    ['init', '--quiet', '--initial-branch=main'],
    ['-c', 'user.name=a', '-c', 'user.email=a@example.com', 'commit', '--quiet', '--allow-empty', '--message=all'],
  ])
    execFileSync('git', args, { cwd: folder })
  return folder
}

type Section = Record<string, unknown>

/** In short steps a canary serves few requests, so that only a larger tolerance certifies it. */
const withShortSteps = ({ checks = {}, ...canary }: Section): Section => ({
  ...canary,
  interval: '4s',
  warmup: 0,
  checks: { ...(checks as Section), tolerance: 10 },
})

/** Adds the settings of the embedded mesh to the existing sections of a config or an IstioOperator. */
export function adaptedToMesh({ inputs }: Pick<TestCluster, 'inputs'>, text: string): string {
  const given = load(text) as { istio?: Section; canary?: Section; spec?: Section }
  const { istio, canary, spec } = given
  return dump({
    ...given,
    ...(spec
      ? { spec: { ...(load(readFileSync(inputs['overlays']!, 'utf8')) as { spec: Section }).spec, ...spec } }
      : {}),
    ...(istio ? { istio: { ...istio, mirror: inputs['mirror'], overlays: inputs['overlays'] } } : {}),
    ...(canary ? { canary: { ...withShortSteps(canary), metrics: load(inputs['metrics']!) as Section } } : {}),
  })
}
