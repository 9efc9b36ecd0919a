// Which repository a run belongs to: the git checkout around a file, or what the CI system says. Starts no program.
import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'

/** `name`: `github.com/acme/shop`. `root`: the folder of the checkout. */
export type Checkout = { name: string; root: string }

/** The checkout that the folder is in; undefined without one, or if its remote is a folder and so not unique. */
export function checkoutOf(folder: string): Checkout | undefined {
  const dotGit = join(folder, '.git')
  if (existsSync(dotGit)) {
    const name = repositoryName(remoteOf(dotGit) ?? '')
    return name === undefined ? undefined : { name, root: folder }
  }
  const parent = dirname(folder)
  return parent === folder ? undefined : checkoutOf(parent)
}

/** The repository of this run, as GitHub, GitLab, Jenkins, CircleCI, Azure or Bitbucket say it. */
export function repositoryOfRun(env: NodeJS.ProcessEnv): string | undefined {
  const { GITHUB_SERVER_URL: server = 'https://github.com', GITHUB_REPOSITORY: repository } = env
  const addresses = [
    repository ? `${server}/${repository}` : undefined,
    env['CI_PROJECT_URL'],
    env['GIT_URL'],
    env['CIRCLE_REPOSITORY_URL'],
    env['BUILD_REPOSITORY_URI'],
    env['BITBUCKET_GIT_HTTP_ORIGIN'],
  ]
  const names = addresses.map((address) => repositoryName(address ?? ''))
  return names.find((name) => name !== undefined)
}

/** The same for every way to reach a repository: host and path, without user, port and `.git`. */
function repositoryName(address: string): string | undefined {
  const [, scpHost, scpPath] = /^(?:[^@/\s]+@)?([^:/\s]{2,}):(?!\/\/)(.+)$/.exec(address) ?? []
  const url = scpHost === undefined && URL.canParse(address) ? new URL(address) : undefined
  const host = scpHost ?? (url && /^(https?|ssh|git):$/.test(url.protocol) ? url.hostname : '')
  const path = (scpPath ?? url?.pathname ?? '').replace(/^\/+|\/+$/g, '').replace(/\.git$/, '')
  return host === '' || path === '' ? undefined : `${host}/${path}`.toLowerCase()
}

/** The address of `origin`, or of the only remote. In a worktree and a submodule, `.git` is a file that names a folder. */
function remoteOf(dotGit: string): string | undefined {
  const remotes = remotesIn(textOf(join(commonFolder(dotGit), 'config')))
  return remotes.get('origin') ?? (remotes.size === 1 ? [...remotes.values()][0] : undefined)
}

function commonFolder(dotGit: string): string {
  if (statSync(dotGit).isDirectory()) return dotGit
  const folder = resolve(dirname(dotGit), /^gitdir: *(.+)$/m.exec(textOf(dotGit))?.[1]?.trim() ?? '.')
  const common = textOf(join(folder, 'commondir')).trim()
  return common === '' ? folder : resolve(folder, common)
}

function remotesIn(config: string): Map<string, string> {
  const remotes = new Map<string, string>()
  let section: string | undefined
  for (const line of config.split('\n')) {
    if (line.trim().startsWith('[')) section = /^\s*\[remote "(.*)"\]/.exec(line)?.[1]
    const url = /^\s*url\s*=\s*"?([^"\s]+)/.exec(line)?.[1]
    if (section !== undefined && url !== undefined && !remotes.has(section)) remotes.set(section, url)
  }
  return remotes
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
