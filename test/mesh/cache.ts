// Keeps build results: one folder for each recipe, named by the hash of the recipe. A rename puts the finished folder
// in place, so a folder is never incomplete.
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheDir } from './settings.ts'

export interface Artifact {
  readonly name: string
  /** Everything that the result depends on. */
  readonly recipe: unknown
}

export function folder({ name, recipe }: Artifact): string {
  const key = createHash('sha256').update(JSON.stringify(recipe)).digest('hex').slice(0, 16)
  return join(cacheDir, `${name}-${key}`)
}

/** Returns the artifact's folder. If it does not exist, `make` creates its content in a draft folder first. */
export async function cached(artifact: Artifact, make: (draft: string) => Promise<void>): Promise<string> {
  const made = folder(artifact)
  if (existsSync(made)) {
    await markUsed(made)
    return made
  }
  await removeDrafts(artifact.name)
  const draft = join(cacheDir, `.${artifact.name}-${process.pid}`)
  await mkdir(draft, { recursive: true })
  await make(draft)
  await rename(draft, made)
  await removeOld(artifact.name)
  return made
}

/** The results of a recipe's versions that stay: the newest, and those of other branches or of a version to go back to. */
const kept = 3

function markUsed(made: string): Promise<void> {
  return utimes(made, new Date(), new Date())
}

/** Deletes all results of the name but those that were used last: the images alone are 1 GB for each version. */
async function removeOld(name: string): Promise<void> {
  const results = (await readdir(cacheDir)).filter((entry) => isResultOf(name, entry))
  const ages = await Promise.all(
    results.map(async (entry) => ({ entry, usedAt: (await stat(join(cacheDir, entry))).mtimeMs })),
  )
  const old = ages.sort((a, b) => b.usedAt - a.usedAt).slice(kept)
  for (const { entry } of old) await rm(join(cacheDir, entry), { recursive: true, force: true })
}

function isResultOf(name: string, entry: string): boolean {
  return entry.startsWith(`${name}-`) && /^[0-9a-f]{16}$/.test(entry.slice(name.length + 1))
}

/** Deletes drafts of interrupted builds. The caller holds the lock, so no other process uses a draft. */
async function removeDrafts(name: string): Promise<void> {
  await mkdir(cacheDir, { recursive: true })
  const drafts = (await readdir(cacheDir)).filter((entry) => entry.startsWith(`.${name}-`))
  for (const entry of drafts) await rm(join(cacheDir, entry), { recursive: true, force: true })
}
