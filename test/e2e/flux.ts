// A real Flux on the embedded mesh: its source-controller and kustomize-controller, and a Git repository that they apply.
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { enter, goModule, goTool, nodeAddress } from '../mesh/index.ts'
import type { TestCluster } from './world.ts'

const port = 8484
const here = (name: string) => resolve(import.meta.dirname, name)
const git = (folder: string, ...args: string[]) =>
  execFileSync('git', ['-C', folder, ...args], { encoding: 'utf8' }).trim()

export type Flux = Awaited<ReturnType<typeof startFlux>>

/** Starts it with a repository of these files, and waits until it has applied them. `home`: where the repository may be. */
export async function startFlux({ run }: TestCluster, home: string, files: Record<string, string>) {
  const kubectl = (...args: string[]) => run(['kubectl', '-n', 'flux-system', ...args])
  const repository = createRepository(home)
  repository.commit(files)
  const manifest = await writeManifest(home)
  const crds = await Promise.all(
    (['source-controller', 'kustomize-controller'] as const).map((name) => goModule(`github.com/fluxcd/${name}`, name)),
  )
  const crdFiles = crds.flatMap((module) => ['-f', join(module, 'config/crd/bases')])

  /** Waits until Flux has applied the newest commit. */
  const applied = () => {
    const revision = `main@sha1:${git(repository.work, 'rev-parse', 'HEAD')}`
    return kubectl(
      'wait',
      'kustomization/arcade',
      `--for=jsonpath={.status.lastAppliedRevision}=${revision}`,
      '--timeout=120s',
    )
  }

  const [program = '', ...args] = enter([
    process.execPath,
    here('git-server.ts'),
    repository.served,
    nodeAddress,
    `${port}`,
  ])
  const server = spawn(program, args, { stdio: 'inherit' })
  const stop = async () => {
    // Their finalizers need the controllers, which go with the namespace.
    await kubectl('delete', 'kustomization,gitrepository', '--all')
    await run(['kubectl', 'delete', 'namespace', 'flux-system', '--wait=false'])
    server.kill()
  }
  // Their annotations would be too long for a client-side apply.
  await run(['kubectl', 'apply', '--server-side', ...crdFiles])
  await run(['kubectl', 'wait', '--for=condition=Established', ...crdFiles, '--timeout=60s'])
  await run(['kubectl', 'apply', '-f', manifest])
  await kubectl('rollout', 'status', 'deploy/flux', '--timeout=120s')
  await applied()
  return { kubectl, commit: repository.commit, applied, stop }
}

/** A bare repository in a folder of its own, and a clone, from which `commit` pushes. */
function createRepository(home: string) {
  const [served, work] = [join(home, 'served'), join(home, 'work')]
  mkdirSync(served)
  git(served, 'init', '--quiet', '--bare', '--initial-branch=main', 'fleet')
  git(home, 'clone', '--quiet', join(served, 'fleet'), work)
  git(work, 'config', 'user.name', 'test')
  git(work, 'config', 'user.email', 'test@example.com')
  git(work, 'checkout', '--quiet', '-B', 'main')

  /** Adds or replaces these files. */
  const commit = (files: Record<string, string>) => {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(work, name), text)
    git(work, 'add', '--all')
    git(work, 'commit', '--quiet', '--message', `Change ${Object.keys(files).join(', ')}`)
    git(work, 'push', '--quiet', 'origin', 'main')
  }
  return { served, work, commit }
}

async function writeManifest(home: string): Promise<string> {
  const values = {
    SOURCE_CONTROLLER: dirname(await goTool('source-controller')),
    KUSTOMIZE_CONTROLLER: dirname(await goTool('kustomize-controller')),
    REPOSITORY: `http://${nodeAddress}:${port}/fleet`,
  }
  const file = join(home, 'flux.yaml')
  const text = Object.entries(values).reduce(
    (text, [word, value]) =>
      text.replaceAll(`{ path: ${word} }`, `{ path: ${value} }`).replaceAll(`url: ${word}`, `url: ${value}`),
    readFileSync(here('flux.yaml'), 'utf8'),
  )
  writeFileSync(file, text)
  return file
}
