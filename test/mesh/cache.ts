// Things built once and kept: a folder per recipe, named by the recipe's hash and put in place whole, never half made.
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheDir } from './settings.ts'

export interface Artifact {
  readonly name: string
  /** Everything that decides what comes out. */
  readonly recipe: unknown
}

export function folder({ name, recipe }: Artifact): string {
  const key = createHash('sha256').update(JSON.stringify(recipe)).digest('hex').slice(0, 16)
  return join(cacheDir, `${name}-${key}`)
}

/** Returns the artifact's folder, made by `make` in a draft folder if it is not there yet. */
export async function cached(artifact: Artifact, make: (draft: string) => Promise<void>): Promise<string> {
  const made = folder(artifact)
  if (existsSync(made)) return made
  await removeDrafts(artifact.name)
  const draft = join(cacheDir, `.${artifact.name}-${process.pid}`)
  await mkdir(draft, { recursive: true })
  await make(draft)
  await rename(draft, made)
  return made
}

/** What an interrupted build left behind; callers hold the lock, so no draft is anyone's work in progress. */
async function removeDrafts(name: string): Promise<void> {
  await mkdir(cacheDir, { recursive: true })
  const drafts = (await readdir(cacheDir)).filter((entry) => entry.startsWith(`.${name}-`))
  for (const entry of drafts) await rm(join(cacheDir, entry), { recursive: true, force: true })
}
