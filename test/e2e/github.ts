// A local replacement for GitHub: a repository to fetch from and push to, and act as the runner. Third-party actions
// and the program gh are fakes that only record or print their inputs, because they would need GitHub. Checkout and
// artifacts work.
import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { dump, load } from 'js-yaml'
import { goTool } from '../mesh/index.ts'

const root = resolve(import.meta.dirname, '../..')

export type Event = {
  name: 'push' | 'pull_request'
  payload?: object
  /** The pushed ref or the branch, such as `refs/tags/v1.2.3`. */
  ref: string
  vars?: Record<string, string>
  /** More arguments for act, such as one job or one entry of a matrix. */
  args?: string[]
}
export type Run = { code: number; log: string /** The arguments of every call of gh. */; gh: string[][] }

/** Creates a repository with an `origin`, and commits the current files of this repository on main. */
export function github() {
  const home = mkdtempSync(join(tmpdir(), 'mesh-canary-github-'))
  const [folder, origin] = [join(home, 'work'), join(home, 'origin.git')]
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=A developer', '-c', 'user.email=dev@example.com', ...args], {
      cwd: folder,
      encoding: 'utf8',
    }).trim()
  const write = (file: string, text: string) => {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), text)
  }
  mkdirSync(folder)
  git('init', '--quiet', '--initial-branch=main')
  for (const file of filesOf(root)) {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    copyFileSync(join(root, file), join(folder, file))
  }
  const commit = (message: string) => (
    git('add', '--all'), git('commit', '--quiet', '--message', message), git('rev-parse', 'HEAD')
  )
  commit('As it stands')
  execFileSync('git', ['init', '--quiet', '--bare', '--initial-branch=main', origin])
  git('remote', 'add', 'origin', origin)
  return {
    folder,
    git,
    write,
    commit,
    /** The commit of a ref at the origin. */
    at: (ref: string) =>
      execFileSync('git', ['rev-parse', `${ref}^{commit}`], { cwd: origin, encoding: 'utf8' }).trim(),
    run: (workflow: string, event: Event) => act(home, folder, origin, workflow, event),
    remove: () => rmSync(home, { recursive: true, force: true }),
  }
}

function filesOf(repository: string): string[] {
  const args = ['ls-files', '-z', '--cached', '--others', '--exclude-standard']
  const deleted = execFileSync('git', ['ls-files', '-z', '--deleted'], { cwd: repository, encoding: 'utf8' }).split(
    '\0',
  )
  return execFileSync('git', args, { cwd: repository, encoding: 'utf8' })
    .split('\0')
    .filter((file) => file !== '' && !deleted.includes(file))
}

async function act(
  home: string,
  folder: string,
  origin: string,
  workflow: string,
  { name, payload = {}, ref, vars = {}, args = [] }: Event,
): Promise<Run> {
  const runFolder = mkdtempSync(join(home, 'run-'))
  const file = (base: string, text: string) => (writeFileSync(join(runFolder, base), text), join(runFolder, base))
  const bin = join(runFolder, 'bin')
  mkdirSync(bin)
  // Records its arguments, one JSON list a line. `auth setup-git` needs no fake, because git can push here without it.
  writeFileSync(
    join(bin, 'gh'),
    `#!/usr/bin/env node\nrequire('node:fs').appendFileSync(${JSON.stringify(join(runFolder, 'gh'))}, JSON.stringify(process.argv.slice(2)) + '\\n')\n`,
  )
  chmodSync(join(bin, 'gh'), 0o755)
  const flags = [
    '--directory',
    folder,
    '--workflows',
    `.github/workflows/${workflow}`,
    '--no-skip-checkout',
    '--no-cache-server',
    '--eventpath',
    file('event', JSON.stringify(payload)),
    '--env',
    `GITHUB_REF=${ref}`,
    '--env',
    'GITHUB_REPOSITORY=example/mesh-canary',
    '--secret',
    'GITHUB_TOKEN=token-of-a-test',
    ...Object.entries(vars).flatMap(([key, value]) => ['--var', `${key}=${value}`]),
    ...standIns(runFolder, origin, join(folder, '.github/workflows', workflow)),
    ...['ubuntu-latest', 'ubuntu-24.04-arm', 'macos-latest', 'windows-latest'].flatMap((system) => [
      '--platform',
      `${system}=-self-hosted`,
    ]),
  ]
  // Ignores the act configuration of the current user, but keeps npm's, because it names the package registry.
  const env = {
    ...process.env,
    HOME: runFolder,
    XDG_CACHE_HOME: join(runFolder, 'cache'),
    XDG_CONFIG_HOME: join(runFolder, 'config'),
    KUBECONFIG: '',
    PATH: `${bin}:${process.env['PATH']}`,
    npm_config_userconfig: join(homedir(), '.npmrc'),
    npm_config_cache: join(homedir(), '.npm'),
  }
  const child = spawn(await goTool('act'), [name, ...flags, ...args], { env })
  let log = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (log += chunk.toString()))
  const code = await new Promise<number>((done, fail) =>
    child.once('error', fail).once('close', (status) => done(status ?? 1)),
  )
  writeFileSync(join(runFolder, 'gh'), '', { flag: 'a' })
  const gh = readFileSync(join(runFolder, 'gh'), 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as string[])
  return { code, log, gh }
}

type Step = { uses?: string; with?: Record<string, unknown> }

/** Creates a fake with the same inputs for each third-party action of the workflow. @returns the flags for act. */
function standIns(runFolder: string, origin: string, workflow: string): string[] {
  const { jobs } = load(readFileSync(workflow, 'utf8')) as { jobs: Record<string, { steps?: Step[] }> }
  const foreignSteps = Object.values(jobs)
    .flatMap(({ steps = [] }) => steps)
    .filter(({ uses }) => uses?.includes('@'))
  const actionNames = new Set(foreignSteps.map((step) => step.uses!))
  return [...actionNames].flatMap((use) => {
    const inputs = new Set(
      foreignSteps.filter((step) => step.uses === use).flatMap((step) => Object.keys(step.with ?? {})),
    )
    const name = use.split('@')[0]!
    const folder = join(runFolder, 'actions', name)
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'action.yml'), dump(standIn(name, [...inputs], origin, join(runFolder, 'artifacts'))))
    return ['--local-repository', `${use}=${folder}`]
  })
}

/** Installed from the same lock file. The fakes link it, because `npm ci` would take most of a run. */
const modules = join(root, 'node_modules')

const scripts: Record<string, (origin: string, artifacts: string) => string> = {
  'actions/checkout': (
    origin,
  ) => `git init --quiet . && git remote add origin '${origin}' && git fetch --quiet --tags origin '+refs/heads/*:refs/remotes/origin/*' && git checkout --quiet "\${IN_REF:-\${GITHUB_REF/#refs\\/heads/refs/remotes/origin}}"
{ cp -al '${modules}' . 2>/dev/null || cp -a '${modules}' .; }`,
  'actions/upload-artifact': (_, artifacts) => `mkdir -p '${artifacts}' && cp -r "$IN_PATH" '${artifacts}'/"$IN_NAME"`,
  'actions/download-artifact': (_, artifacts) => `mkdir -p "$IN_PATH" && cp -r '${artifacts}'/"$IN_NAME"/. "$IN_PATH"`,
}

function standIn(name: string, inputs: string[], origin: string, artifacts: string): object {
  const variable = (input: string) => `IN_${input.toUpperCase().replaceAll('-', '_')}`
  const printInputs = `printf '%s\\n' 'stand-in for ${name}' ${inputs.map((input) => `"${input}: $${variable(input)}"`).join(' ')}`
  const inputNames = [...new Set([...inputs, 'ref'])]
  return {
    name,
    description: 'A stand-in',
    inputs: Object.fromEntries(inputNames.map((input) => [input, { description: input, default: '' }])),
    runs: {
      using: 'composite',
      steps: [
        {
          shell: 'bash',
          env: Object.fromEntries(inputNames.map((input) => [variable(input), `\${{ inputs.${input} }}`])),
          run: `${printInputs}\n${scripts[name]?.(origin, artifacts) ?? ''}`,
        },
      ],
    },
  }
}
