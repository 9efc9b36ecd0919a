// Whose objects a config writes. The identity must be unique among all configs that may meet in a cluster, and the same
// in every run of one config (decision 17).
import { hostname } from 'node:os'
import { basename, dirname, relative, resolve } from 'node:path'
import { checkoutOf, repositoryOfRun } from '../runtime/repository.ts'

/**
 * `owner`: the key `name`, else repository and path, such as `github.com/acme/shop mesh.yaml`. `withoutName`: what the
 * owner of a file would be without that key. `repository`: if it is known. `prunes`: false for inputs without a name,
 * because two steps of a workflow would delete each other's objects. `earlier`: what earlier versions called the owner,
 * which may also be the name of another repository's.
 */
export type Identity = {
  owner: string
  withoutName?: string
  repository?: string
  prunes: boolean
  earlier: readonly string[]
}

/** `file`: the config file; `name`: the key `name`. */
export function identityOf(file: string | undefined, name: string | undefined, env: NodeJS.ProcessEnv): Identity {
  const { repository, path } = placeOf(file, env)
  const withoutName = ownerOf(repository, path, file)
  return {
    owner: name ?? withoutName,
    ...(file === undefined ? {} : { withoutName }),
    ...(repository === undefined ? {} : { repository }),
    prunes: name !== undefined || file !== undefined,
    earlier: [...(name === undefined ? [] : [name]), file === undefined ? withoutFile : earlierName(file)],
  }
}

const withoutFile = 'inputs'

/** The repository comes before the variables of the run: a job may check out several repositories. */
function placeOf(file: string | undefined, env: NodeJS.ProcessEnv): { repository: string | undefined; path: string } {
  const place = file === undefined ? process.cwd() : resolve(file)
  const checkout = checkoutOf(file === undefined ? place : dirname(place))
  if (checkout) return { repository: checkout.name, path: relative(checkout.root, place) }
  return { repository: repositoryOfRun(env), path: pathHere(place) }
}

function ownerOf(repository: string | undefined, path: string, file: string | undefined): string {
  if (file === undefined) return repository === undefined ? withoutFile : `${repository} (${withoutFile})`
  // Unique on this machine, and the same whenever the user runs it again from here.
  return repository === undefined ? `${hostname()}:${resolve(file)}` : `${repository} ${path}`
}

/** A file outside the working folder is a temporary one, whose folder differs in each run. */
function pathHere(file: string): string {
  const path = relative(process.cwd(), file)
  return path.startsWith('..') ? basename(path) : path
}

function earlierName(file: string): string {
  return pathHere(resolve(file))
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(-63)
    .replace(/^-+|-+$/g, '')
}
