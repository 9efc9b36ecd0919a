import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { closeDeployment, startReporting } from '../../../src/action/reporting.ts'
import { markerOf } from '../../../src/report/comment.ts'
import { emptyReport, type Report } from '../../../src/report/report.ts'
import { botLogin, startGithubApi, type GithubApi, type GithubApiOptions } from '../../github-api.ts'
import { configOf, tempFolder } from '../fixtures.ts'

const report = (part: Partial<Report> = {}): Report => ({
  ...emptyReport('shop', new Date(0), false),
  verdict: 'promoted',
  reason: 'every step passed its checks',
  ...part,
})
const canary = 'canary: { service: backend, stable: v1, canary: v2 }'
const config = (more: string) => configOf(`name: shop\nnamespace: shop\ngithubToken: secret\n${canary}\n${more}`)
const marker = markerOf('shop', 'shop')

let printed: string
beforeEach(() => {
  printed = ''
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed += String(text)
    return true
  })
})
afterEach(() => {
  vi.restoreAllMocks()
  vi.unstubAllEnvs()
})

const branch = (name: string) => ({ sha: 'head', repo: { full_name: name } })
const pullRequest = (head = 'acme/shop') => ({
  pull_request: { number: 7, head: branch(head), base: branch('acme/shop') },
})

async function github(options: Partial<GithubApiOptions> = {}): Promise<GithubApi> {
  const api = await startGithubApi({ token: 'secret', permissions: ['pull-requests', 'deployments'], ...options })
  onTestFinished(() => void api.server.close())
  return api
}

function environment({ address }: GithubApi, event: object = pullRequest(), name = 'pull_request'): NodeJS.ProcessEnv {
  const file = join(tempFolder(), 'event.json')
  writeFileSync(file, JSON.stringify(event))
  return {
    GITHUB_API_URL: address,
    GITHUB_REPOSITORY: 'acme/shop',
    GITHUB_SHA: 'merge',
    GITHUB_EVENT_NAME: name,
    GITHUB_EVENT_PATH: file,
  }
}

async function runOnce(settings: string, env: NodeJS.ProcessEnv, of: Report = report()): Promise<void> {
  const reporting = await startReporting(config(settings), env)
  await reporting.end(of, {})
}

describe('the comment on a pull request', () => {
  test('is one after three runs, and shows the last', async () => {
    const api = await github()
    for (const reason of ['first', 'second', 'third']) {
      const dryRun = report({ dryRun: true, outcome: 'failure', error: reason })
      await runOnce('comment: true', environment(api), dryRun)
    }
    expect(api.state.comments).toMatchObject([{ id: 101, issue: 7, user: { login: botLogin } }])
    expect(api.state.comments[0]!.body).toContain('> third')
    expect(printed).not.toContain('::warning')
  })

  test('is found behind many others, and leaves alone what somebody else wrote with its marker', async () => {
    const others = Array.from({ length: 230 }, (_, i) => ({
      id: i,
      issue: 7,
      user: { login: 'somebody' },
      body: marker,
    }))
    const own = { id: 300, issue: 7, user: { login: botLogin }, body: `${marker}\nof yesterday` }
    const api = await github({ comments: [...others, own] })
    await runOnce('comment: true', environment(api))
    expect(api.state.comments).toHaveLength(231)
    expect(api.state.comments.at(-1)!.body).toContain('### ')
    expect(api.state.comments.filter(({ body }) => body === marker)).toHaveLength(230)
  })

  test('of another config is another one', async () => {
    const api = await github()
    await runOnce('comment: true', environment(api))
    const other = await startReporting(configOf('name: web\ncomment: true\ngithubToken: secret'), environment(api))
    await other.end(report(), {})
    expect(api.state.comments).toHaveLength(2)
  })

  test('goes after a push to the pull request that it merged', async () => {
    const pull = { number: 9, merge_commit_sha: 'merge', head: branch('acme/shop'), base: branch('acme/shop') }
    const fork = { ...pull, number: 8, head: branch('somebody/shop') }
    const api = await github({ pulls: { merge: [fork, pull] } })
    await runOnce('comment: true', environment(api, {}, 'push'))
    expect(api.state.comments.map(({ issue }) => issue)).toEqual([9])
  })

  test('is left out, without a warning, where there is no pull request or it is of a fork', async () => {
    const api = await github()
    await runOnce('comment: true', environment(api, {}, 'push'))
    await runOnce('comment: true', environment(api, {}, 'schedule'))
    const before = api.state.requests.length
    await runOnce('comment: true\ndeployment: production', environment(api, pullRequest('somebody/shop')))
    await runOnce(
      'comment: true',
      environment(api, { pull_request: { number: 7, head: { repo: null }, base: branch('acme/shop') } }),
    )
    expect(api.state.comments).toEqual([])
    expect(api.state.requests).toHaveLength(before)
    expect(printed).toContain('comment, deployment: nothing for the pull request of a fork')
    expect(printed).not.toContain('::warning')
  })

  test('is written after a short outage of GitHub', async () => {
    const api = await github({ outages: 2 })
    await runOnce('comment: true', environment(api))
    expect(api.state.comments).toHaveLength(1)
  })
})

describe('the deployment of a promotion', () => {
  const states = (api: GithubApi) =>
    api.state.deployments.map(({ environment, sha, statuses }) => [
      environment,
      sha,
      ...statuses.map(({ state }) => state),
    ])

  test.each<[string, Partial<Report>, string]>([
    ['promoted', {}, 'success'],
    [
      'rolled back',
      { verdict: 'rolled-back', outcome: 'failure', error: 'x', reason: 'too slow '.repeat(50) },
      'failure',
    ],
    ['undecided', { verdict: 'inconclusive', outcome: 'failure', error: 'x' }, 'failure'],
    ['promoted by a run that failed later', { outcome: 'failure', error: 'an experiment failed' }, 'failure'],
    ['held', { verdict: 'held' }, 'in_progress'],
    ['skipped', { verdict: 'skipped' }, 'inactive'],
    ['of a run that was refused', { verdict: 'skipped', outcome: 'failure', error: 'no cluster' }, 'failure'],
  ])('of a canary that was %s', async (_, part, state) => {
    const api = await github()
    await runOnce('deployment: production', environment(api), report(part))
    expect(states(api)).toEqual([['production', 'head', 'in_progress', state]])
    expect(printed).not.toContain('::warning')
  })

  test('has the address of the ingress, and the page of the run', async () => {
    const api = await github()
    vi.stubEnv('GITHUB_SERVER_URL', 'https://github.example')
    vi.stubEnv('GITHUB_REPOSITORY', 'acme/shop')
    vi.stubEnv('GITHUB_RUN_ID', '5')
    const ingress = { http: '203.0.113.7:80' }
    const cluster = { name: 'k', action: 'used' as const, kind: '0', nodes: 1, kubeconfig: 'k', ingress, loaded: [] }
    await runOnce('deployment: production', environment(api), report({ cluster }))
    expect(api.state.deployments[0]!.statuses.at(-1)).toMatchObject({
      environment_url: 'http://203.0.113.7:80',
      log_url: 'https://github.example/acme/shop/actions/runs/5/attempts/1',
      description: 'every step passed its checks',
    })
  })

  test('replaces the one before, but none of another config or environment', async () => {
    const api = await github()
    const other = async (name: string, settings: string) => {
      const reporting = await startReporting(
        configOf(`name: ${name}\ngithubToken: secret\n${canary}\n${settings}`),
        environment(api),
      )
      await reporting.end(report(), {})
    }
    await other('web', 'deployment: production')
    await runOnce('deployment: staging', environment(api))
    await runOnce('deployment: production', environment(api))
    await runOnce('deployment: production', environment(api))
    expect(states(api).map(([environment, , ...rest]) => [environment, ...rest])).toEqual([
      ['production', 'in_progress', 'success'],
      ['staging', 'in_progress', 'success'],
      ['production', 'in_progress', 'success', 'inactive'],
      ['production', 'in_progress', 'success'],
    ])
  })

  test('goes on in the run that continues a held canary', async () => {
    const api = await github()
    await runOnce('deployment: production', environment(api), report({ verdict: 'held' }))
    await runOnce('deployment: production', environment(api))
    expect(states(api)).toEqual([['production', 'head', 'in_progress', 'in_progress', 'in_progress', 'success']])
  })

  test('is inactive after the stage rollback', async () => {
    const api = await github()
    await runOnce('deployment: production', environment(api))
    await runOnce('deployment: production\nstages: rollback', environment(api), report({ verdict: 'rolled-back' }))
    expect(states(api)).toEqual([['production', 'head', 'in_progress', 'success', 'inactive']])
  })

  test('is not created by a run that promotes nothing', async () => {
    const api = await github()
    await runOnce('deployment: production\ndryRun: true', environment(api))
    await runOnce('deployment: production\nstages: verify', environment(api))
    expect(api.state.requests).toEqual([])
  })

  test('has failed when the run died, as the post step finds', async () => {
    const api = await github()
    const stateFile = join(tempFolder(), 'state')
    writeFileSync(stateFile, '')
    vi.stubEnv('GITHUB_STATE', '')
    const reporting = await startReporting(config('deployment: production'), environment(api))
    await expect.poll(() => printed).toMatch(/::save-state name=deployment::\{/)
    vi.stubEnv('STATE_deployment', /::save-state name=deployment::(.*)/.exec(printed)![1]!.replaceAll('%0A', '\n'))
    vi.stubEnv('INPUT_GITHUB-TOKEN', 'secret')
    await closeDeployment()
    expect(states(api)).toEqual([['production', 'head', 'in_progress', 'failure']])
    await reporting.end(report(), {})
  })
})

describe('without the permissions', () => {
  test('each is named, and nothing fails', async () => {
    const before = process.exitCode
    const api = await github({ permissions: [] })
    await runOnce('comment: true\ndeployment: production', environment(api))
    expect(printed).toContain(
      '::warning title=GitHub::comment: the token (`github-token`) may not do that (403, Resource not accessible by integration',
    )
    expect(printed).toContain('give the job `permissions: { pull-requests: write }`')
    expect(printed).toContain('give the job `permissions: { deployments: write }`')
    expect(printed.match(/::warning/g)).toHaveLength(2)
    expect(process.exitCode).toBe(before)
  })

  test('the other one works', async () => {
    const api = await github({ permissions: ['deployments'] })
    await runOnce('comment: true\ndeployment: production', environment(api))
    expect(api.state.deployments).toHaveLength(1)
    expect(printed.match(/::warning/g)).toHaveLength(1)
  })

  test.each<[string, Partial<GithubApiOptions>, RegExp]>([
    ['a token that GitHub does not know', { token: 'another' }, /comment: GitHub does not accept the token/],
    ['an outage', { outages: 1_000 }, /::warning title=GitHub::comment: /],
  ])('%s is a warning', async (_, options, message) => {
    const api = await github(options)
    await runOnce('comment: true', environment(api))
    expect(printed).toMatch(message)
  })

  test('a missing token is a warning, and a runner that is not of GitHub, too', async () => {
    const api = await github()
    const reporting = await startReporting(configOf('comment: true'), environment(api))
    await reporting.end(report(), {})
    expect(printed).toContain('comment: there is no token; set `github-token: ${{ github.token }}`')
    await runOnce('comment: true', {})
    expect(printed).toContain('comment: this runner does not say what GitHub runs')
  })
})
