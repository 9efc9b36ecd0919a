// Runs the workflows of this repository with act: a release from its tag to the major tag, and dist on a pull request
// of Dependabot. Not covered, because only GitHub has them: the approval, the attestation, the release itself, kind,
// CodeQL.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MIRROR_URL, releases } from '../mesh/index.ts'
import { github } from './github.ts'

let hub: ReturnType<typeof github>

beforeEach(() => {
  hub = github()
})
afterEach(() => hub.remove())

const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8')) as {
  version: string
}
const tag = `v${version}`
const major = tag.split('.')[0]!

describe('a release', () => {
  beforeEach(() => {
    // These jobs run this suite or need Docker.
    for (const name of ['ci', 'kind'])
      hub.write(
        `.github/workflows/${name}.yml`,
        `on: workflow_call\njobs: { all: { runs-on: ubuntu-latest, steps: [{ run: echo ${name} } ] } }\n`,
      )
    hub.commit('Called workflows that only say their names')
  })

  test('of a tag on main is attested and published with its notes, and then gets the major tag', async () => {
    hub.git('tag', `${major}.0.0`)
    hub.git('tag', major)
    hub.write('src/more.ts', '// More\n')
    const commit = hub.commit('Sidecars are counted too')
    hub.git('tag', '--annotate', tag, '--message', 'Counts sidecars\n\nNothing else is new.')
    hub.git('push', '--quiet', 'origin', 'main', '--tags')

    const { code, log, gh } = await hub.run('release.yml', { name: 'push', ref: `refs/tags/${tag}` })

    expect(log).not.toContain('cannot be released')
    expect(code).toBe(0)
    expect(gh.map((args) => args.slice(0, 2))).toEqual([
      ['release', 'create'],
      ['auth', 'setup-git'],
    ])
    const [, , name, , , title, , notes = '', ...flags] = gh[0]!
    expect([name, title, flags]).toEqual([
      tag,
      tag,
      ['--latest=true', '--prerelease=false', `out/mesh-canary-${version}.tgz`],
    ])
    expect(notes).toContain('Counts sidecars\n\nNothing else is new.')
    expect(notes).toContain(`## Changes since ${major}.0.0\n\n- Sidecars are counted too\n`)
    expect(notes).toContain(`- uses: example/mesh-canary@${commit} # ${tag}`)
    expect(log).toMatch(
      /stand-in for actions\/attest\n.*subject-path: action\.yml\n.*dist\/\*\n.*out\/\*\.tgz\n[\s\S]*Run Main Publish the release/,
    )
    expect(hub.at(major)).toBe(commit)
    expect(hub.at(`${major}.0.0`)).not.toBe(commit)
  })

  test('fails and writes nothing if, for example, dist does not match its source', async () => {
    hub.git('tag', major)
    const before = hub.git('rev-parse', 'HEAD')
    hub.git('push', '--quiet', 'origin', 'main', '--tags')
    hub.write('dist/index.js', 'process.exit()\n')
    hub.commit('A bundle of nobody knows what')
    hub.git('tag', 'v9.0.0')
    hub.git('push', '--quiet', 'origin', 'v9.0.0')

    const { code, log, gh } = await hub.run('release.yml', { name: 'push', ref: 'refs/tags/v9.0.0' })

    expect(code).not.toBe(0)
    expect(log).toContain('v9.0.0 cannot be released:')
    for (const obstacle of [
      'v9.0.0 has no message',
      'v9.0.0 is not on origin/main',
      `package.json says version ${version}`,
      'dist is not what src makes',
    ])
      expect(log).toContain(`- ${obstacle}`)
    expect(gh).toEqual([])
    expect(hub.at(major)).toBe(before)
  })
})

describe('dist on a pull request', () => {
  const opened = (user: string) =>
    ({
      name: 'pull_request',
      ref: 'refs/pull/7/merge',
      payload: {
        action: 'opened',
        number: 7,
        pull_request: {
          number: 7,
          user: { login: user },
          head: { ref: 'dependabot/npm', sha: hub.git('rev-parse', 'HEAD') },
          base: { ref: 'main' },
        },
      },
    }) as const

  beforeEach(() => hub.git('checkout', '--quiet', '-b', 'dependabot/npm'))

  test('is built and committed if Dependabot opened it, and CI runs on the commit', async () => {
    const built = readFileSync(join(hub.folder, 'dist/index.js'), 'utf8')
    hub.write('dist/index.js', '// of before the update\n')
    const before = hub.commit('Bump a package')
    hub.git('push', '--quiet', 'origin', 'main', 'dependabot/npm')

    const { code, gh } = await hub.run('rebuild.yml', opened('dependabot[bot]'))

    expect(code).toBe(0)
    expect(gh).toEqual([
      ['auth', 'setup-git'],
      ['workflow', 'run', 'ci.yml', '--ref', 'dependabot/npm'],
    ])
    hub.git('fetch', '--quiet', 'origin')
    expect(hub.git('rev-parse', 'origin/dependabot/npm~1')).toBe(before)
    expect(hub.git('show', 'origin/dependabot/npm:dist/index.js')).toBe(built.trim())
    expect(hub.git('log', '-1', '--format=%s', 'origin/dependabot/npm')).toBe('Build [dependabot skip]')
  })

  test('stays as it is if anybody else opened it', async () => {
    hub.write('dist/index.js', '// not built\n')
    const before = hub.commit('A change')
    hub.git('push', '--quiet', 'origin', 'main', 'dependabot/npm')

    const { gh } = await hub.run('rebuild.yml', opened('somebody'))

    expect(gh).toEqual([])
    expect(hub.at('dependabot/npm')).toBe(before)
  })
})

test('the job for other systems installs istioctl by the action, renders the policies and runs its tests', async () => {
  hub.git('push', '--quiet', 'origin', 'main')
  const mirror = spawn(process.execPath, [
    join(import.meta.dirname, '../mesh/mirror.ts'),
    join(hub.folder, '../mirror.log'),
    `${new URL(MIRROR_URL).pathname}=${await releases()}`,
  ])
  try {
    // The job for Windows has the fewest tests.
    const { code, log } = await hub.run('ci.yml', {
      name: 'push',
      ref: 'refs/heads/main',
      vars: { ISTIO_MIRROR: MIRROR_URL },
      args: ['--job', 'platforms', '--matrix', 'os:windows-latest'],
    })
    expect(log).toContain('client version: 1.31.0')
    expect(log).toMatch(/Tests\s+.*\d+ passed/)
    expect(code).toBe(0)
  } finally {
    mirror.kill()
  }
})
