import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { finishReporting, startReporting } from '../../../src/action/reporting.ts'
import { markerOf } from '../../../src/report/replace-comment.ts'
import { reportId } from '../../../src/report/report-id.ts'
import type { Config } from '../../../src/config/schema.ts'
import { fleetReport } from '../../../src/report/fleet-report.ts'
import { emptyReport, type Report } from '../../../src/report/report.ts'
import { botLogin, startGithubApi, type GithubApi, type GithubApiOptions } from '../../github-api.ts'
import { configOf, tempFolder } from '../fixtures.ts'

const report = (part: Partial<Report> = {}): Report => ({
  ...emptyReport('shop', new Date(0), false),
  server: 'https://cluster.example',
  verdict: 'promoted',
  reason: 'every step passed its checks',
  ...part,
})
const canary = 'canary: { service: backend, stable: v1, canary: v2 }'
const config = (more: string) => configOf(`name: shop\nnamespace: shop\ngithubToken: secret\n${canary}\n${more}`)
const server = 'https://cluster.example'
const marker = markerOf(reportId(config(''), { server }))
const now = { cancelled: new AbortController().signal, isLater: false }

let printed: string
beforeEach(() => {
  printed = ''
  vi.useFakeTimers({ toFake: ['Date'] })
  vi.stubEnv('GITHUB_STATE', '')
  vi.stubEnv('GITHUB_JOB', 'deliver')
  vi.stubEnv('RUNNER_TEMP', tempFolder())
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed += String(text)
    return true
  })
})
afterEach(() => {
  vi.useRealTimers()
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
  await reportOn(config(settings), env, of)
}

/** A minute after the last one. */
async function start(of: Config, env: NodeJS.ProcessEnv): ReturnType<typeof startReporting> {
  vi.setSystemTime(Date.now() + 60_000)
  return startReporting(of, env)
}

async function reportOn(of: Config, env: NodeJS.ProcessEnv, result = report(), how = now): Promise<void> {
  const reporting = await start(of, env)
  if (result.server !== undefined) reporting.connected(result.server, how.cancelled)
  await reporting.end(result, {}, how)
}

/** What the job that reported last has left for its post step. */
function leftReports(): string {
  const saved = [...printed.matchAll(/::save-state name=reports::(.*)/g)].at(-1)![1]!
  return saved.replaceAll('%0A', '\n').replaceAll('%25', '%')
}

/** The post step of the job. */
async function runPostStep(
  outcome?: string,
  { left = leftReports(), isHeld = false, isTrafficUnsafe = false } = {},
): Promise<void> {
  vi.stubEnv('STATE_reports', left)
  vi.stubEnv('INPUT_GITHUB-TOKEN', 'secret')
  await finishReporting({ lines: outcome === undefined ? [] : [outcome], isTrafficUnsafe }, isHeld)
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

  test('is of the newest run: an older one that ends later leaves it alone, and names its commit', async () => {
    const api = await github()
    const began = (at: string) => report({ startedAt: at, reason: `of the run at ${at}` })
    await runOnce('comment: true\nstages: rollback', environment(api), began('2026-11-30T08:00:00.000Z'))
    await runOnce('comment: true\nstages: rollback', environment(api), began('2026-11-30T07:00:00.000Z'))
    expect(api.state.comments).toHaveLength(1)
    expect(api.state.comments[0]!.body).toContain('of the run at 2026-11-30T08')
    expect(printed).toContain('shows a later result')
  })

  test('is one again after two runs have created one each', async () => {
    const own = (id: number) => ({ id, issue: 7, user: { login: botLogin }, body: `${marker}\nof two runs at once` })
    const api = await github({ comments: [own(1), own(2), own(3)] })
    await runOnce('comment: true', environment(api))
    expect(api.state.comments).toHaveLength(1)
    expect(api.state.comments[0]!.body).toContain('### ')
  })

  test('of another config is another one', async () => {
    const api = await github()
    await runOnce('comment: true', environment(api))
    await reportOn(configOf('name: web\ncomment: true\ngithubToken: secret'), environment(api))
    expect(api.state.comments).toHaveLength(2)
  })

  test('goes after a push to the pull request that it merged', async () => {
    const branches = { head: branch('acme/shop'), base: branch('acme/shop') }
    const pull = { number: 9, merged_at: '2026-11-30T07:00:00Z', merge_commit_sha: 'merge', ...branches }
    const fork = { ...pull, number: 8, head: branch('somebody/shop') }
    const open = { ...pull, number: 6, merged_at: null, head: { ...branches.head, sha: 'merge' } }
    const api = await github({ pulls: { merge: [fork, open, pull] } })
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

const rollback = 'deployment: production\nstages: rollback'
const returned = report({
  verdict: 'rolled-back',
  reason: 'the weight was set to 0',
  returned: ['backend'],
  weight: 0,
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
      await reportOn(configOf(`name: ${name}\ngithubToken: secret\n${canary}\n${settings}`), environment(api))
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
    await runOnce(rollback, environment(api), returned)
    expect(states(api)).toEqual([['production', 'head', 'in_progress', 'success', 'inactive']])
  })

  test.each<[string, string, (api: GithubApi) => Promise<void>]>([
    [
      'held',
      'inactive',
      (api) => runOnce('deployment: production', environment(api), report({ verdict: 'held', reason: 'at 20%' })),
    ],
    [
      'died',
      'failure',
      async (api) => {
        const reporting = await start(config('deployment: production'), environment(api))
        reporting.connected(server, now.cancelled)
        await expect.poll(() => api.state.deployments[1]?.statuses, { timeout: 10_000 }).toHaveLength(1)
        await runPostStep('the run ended in the middle of a promotion')
      },
    ],
  ])('stays active when a rollback returns to its version the traffic of a canary that %s', async (_, last, begin) => {
    const api = await github()
    await runOnce('deployment: production', environment(api))
    await begin(api)
    await runOnce(rollback, environment(api), returned)
    expect(states(api).map((all) => all.at(-1))).toEqual(['success', last])
  })

  test.each<[string, Partial<Report>]>([
    ['moved nothing', { verdict: 'skipped', reason: 'v2 is broken' }],
    ['rolled its canary back', { verdict: 'rolled-back', reason: 'too slow' }],
  ])('is inactive when a rollback takes its traffic after a run that failed and %s', async (_, part) => {
    const api = await github()
    await runOnce('deployment: production', environment(api))
    await runOnce('deployment: production', environment(api), report({ ...part, outcome: 'failure', error: 'x' }))
    await runOnce(rollback, environment(api), returned)
    expect(states(api).map((all) => all.at(-1))).toEqual(['inactive', 'failure'])
  })

  test('is not created by a run that promotes nothing', async () => {
    const api = await github()
    await runOnce('deployment: production\ndryRun: true', environment(api))
    await runOnce('deployment: production\nstages: verify', environment(api))
    expect(api.state.requests).toEqual([])
  })

  test('has failed when the run died, as the post step finds', async () => {
    const api = await github()
    const reporting = await startReporting(config('deployment: production'), environment(api))
    reporting.connected(server, now.cancelled)
    await expect.poll(() => states(api), { timeout: 10_000 }).toEqual([['production', 'head', 'in_progress']])
    await runPostStep('the run ended in the middle of a promotion: the traffic of backend is back on stable')
    expect(states(api)).toEqual([['production', 'head', 'in_progress', 'failure']])
    expect(api.state.deployments[0]!.statuses.at(-1)!.description).toContain('backend is back on stable')
  })

  test('says no more than the post step knows', async () => {
    const api = await github()
    const reporting = await startReporting(config('deployment: production'), environment(api))
    reporting.connected(server, now.cancelled)
    await expect.poll(() => states(api), { timeout: 10_000 }).toEqual([['production', 'head', 'in_progress']])
    await runPostStep()
    expect(api.state.deployments[0]!.statuses.at(-1)!.description).toBe(
      'The run ended without reporting how its promotion ended',
    )
  })

  test('gets its last status from the post step if GitHub is down at the end of the run', async () => {
    const options = { outageAfterStatuses: 1 } as const
    const api = await github(options)
    await runOnce('deployment: production', environment(api), report({ verdict: 'rolled-back', outcome: 'failure' }))
    expect(states(api)).toEqual([['production', 'head', 'in_progress']])
    expect(printed).not.toContain('::warning')
    api.recover()
    await runPostStep()
    expect(states(api)).toEqual([['production', 'head', 'in_progress', 'failure']])
    expect(api.state.deployments[0]!.statuses.at(-1)!.description).toContain('rolled back: every step')
  })

  test('is known to the post step even if it has got no status', async () => {
    const api = await github({ outageAfterDeployments: 1 })
    const reporting = await startReporting(config('deployment: production'), environment(api))
    reporting.connected(server, now.cancelled)
    await expect.poll(() => printed, { timeout: 10_000 }).toContain('save-state name=reports::{"deployment":{"target"')
    await reporting.end(report(), {}, now)
    api.recover()
    await runPostStep()
    expect(states(api)).toEqual([['production', 'head', 'success']])
  })

  test('is active alone, also after runs that had nothing to promote', async () => {
    const api = await github()
    const skipped = report({ verdict: 'skipped', reason: 'v2 has it already' })
    for (const each of [report(), skipped, skipped, report()])
      await runOnce('deployment: production', environment(api), each)
    const last = () => states(api).map((all) => all.at(-1))
    expect(last()).toEqual(['inactive', 'inactive', 'inactive', 'success'])
    await runOnce('deployment: production', environment(api), skipped)
    await runOnce(rollback, environment(api), returned)
    expect(last()).not.toContain('success')
  })

  test('of a run that promoted one of two canaries, and had nothing to do for the other, is a success', async () => {
    const api = await github()
    const promotions = ['promoted', 'skipped'].map((verdict) => ({ verdict, reason: `was ${verdict}` }))
    await runOnce('deployment: production', environment(api), {
      ...report({ verdict: 'skipped', reason: 'was skipped' }),
      promotions: promotions as Report['promotions'],
    })
    expect(states(api)).toEqual([['production', 'head', 'in_progress', 'success']])
    expect(api.state.deployments[0]!.statuses.at(-1)!.description).toBe('was promoted')
  })

  test('is one for each cluster', async () => {
    const api = await github()
    const settings = 'deployment: production\ncomment: true'
    const begun = await Promise.all(
      ['https://one.example', 'https://two.example'].map(async (address) => {
        const reporting = await startReporting(config(settings), environment(api))
        reporting.connected(address, now.cancelled)
        return { reporting, address }
      }),
    )
    await expect
      .poll(() =>
        states(api)
          .flat()
          .filter((each) => each === 'in_progress'),
      )
      .toHaveLength(2)
    const [one, two] = begun
    await one!.reporting.end(report({ server: one!.address, verdict: 'rolled-back', outcome: 'failure' }), {}, now)
    await two!.reporting.end(report({ server: two!.address }), {}, now)
    expect(
      states(api)
        .map((all) => all.at(-1))
        .sort(),
    ).toEqual(['failure', 'success'])
    expect(api.state.comments).toHaveLength(2)
    await runOnce('deployment: production', environment(api), report({ server: one!.address }))
    expect(api.state.deployments).toHaveLength(3)
  })

  test('is not taken over from a run of the same commit that goes on', async () => {
    const api = await github()
    const other = await startReporting(config('deployment: production'), environment(api))
    other.connected(server, now.cancelled)
    await expect.poll(() => states(api), { timeout: 10_000 }).toEqual([['production', 'head', 'in_progress']])
    const refused = report({ verdict: 'skipped', outcome: 'failure', error: 'another run holds the Lease' })
    await runOnce('deployment: production', environment(api), refused)
    await other.end(report(), {}, now)
    expect(states(api).map((all) => all.at(-1))).toEqual(['success', 'failure'])
  })
})

describe('a deployment that GitHub hears of late', () => {
  const production = config('deployment: production')
  const states = (api: GithubApi) => api.state.deployments.map(({ statuses }) => statuses.map(({ state }) => state))
  const later = { ...now, isLater: true }
  const canaryThat = (part: object) => [part] as Report['promotions']

  async function begin(api: GithubApi) {
    const before = api.state.deployments.length
    const reporting = await start(production, environment(api))
    reporting.connected(server, now.cancelled)
    await expect.poll(() => api.state.deployments[before]?.statuses, { timeout: 10_000 }).toHaveLength(1)
    return reporting
  }

  test('makes neither itself green nor the one inactive that was promoted meanwhile', async () => {
    const api = await github()
    const older = await begin(api)
    await runOnce('deployment: production', environment(api))
    await older.end(report(), {}, now)
    expect(states(api)).toEqual([
      ['in_progress', 'inactive'],
      ['in_progress', 'success'],
    ])
  })

  test('makes neither itself green nor the newer one inactive when its post step reports it', async () => {
    const api = await github()
    await (await begin(api)).end(report(), {}, later)
    const left = leftReports()
    await runOnce('deployment: production', environment(api))
    await runPostStep(undefined, { left })
    expect(states(api)).toEqual([
      ['in_progress', 'inactive'],
      ['in_progress', 'success'],
    ])
  })

  test('of a rollback leaves one as it is that was created after it began', async () => {
    const api = await github()
    await reportOn(config(rollback), environment(api), returned, later)
    const left = leftReports()
    await runOnce('deployment: production', environment(api))
    await runPostStep(undefined, { left })
    expect(states(api)).toEqual([['in_progress', 'success']])
  })

  test('is older than a rollback by the clock of GitHub, too', async () => {
    const api = await github({ clockAheadMs: 3_600_000 })
    await runOnce('deployment: production', environment(api))
    await runOnce(rollback, environment(api), returned)
    expect(states(api)).toEqual([['in_progress', 'success', 'inactive']])
  })

  test.each<[string, string, Partial<Report>, string[]]>([
    [
      'promoted by a run that failed then',
      'deployment: production',
      { outcome: 'failure', error: 'fragile', promotions: canaryThat({ verdict: 'promoted' }) },
      ['inactive', 'failure'],
    ],
    [
      'promoted by its controller alone',
      'deployment: production',
      {
        outcome: 'failure',
        error: 'x',
        verdict: 'inconclusive',
        promotions: canaryThat({ verdict: 'inconclusive', engineVerdict: 'promoted' }),
      },
      ['inactive', 'failure'],
    ],
    [
      'rolled back',
      'deployment: production',
      { outcome: 'failure', error: 'x', verdict: 'rolled-back', promotions: canaryThat({ verdict: 'rolled-back' }) },
      ['success', 'failure'],
    ],
    ['returned without proof', rollback, { verdict: 'inconclusive', returned: ['backend'], weight: 0 }, ['inactive']],
    [
      'returned, while requests still reach it',
      rollback,
      { verdict: 'inconclusive', returned: ['backend'], weight: 0, outcome: 'failure', error: 'x' },
      ['inactive'],
    ],
    [
      'returned in full',
      rollback,
      { verdict: 'inconclusive', returned: ['backend'], outcome: 'failure', error: 'frontend was not rolled back' },
      ['success'],
    ],
    ['at weight 0 already', rollback, { verdict: 'skipped', returned: [] }, ['success']],
  ])('stays active only if the next canary was not %s', async (_, settings, part, last) => {
    const api = await github()
    await runOnce('deployment: production', environment(api))
    await runOnce(settings, environment(api), report(part))
    expect(states(api).map((all) => all.at(-1))).toEqual(last)
  })

  async function beginInOutage(api: GithubApi) {
    api.breakDown()
    const reporting = await start(production, environment(api))
    reporting.connected(server, now.cancelled)
    await expect.poll(() => printed, { timeout: 10_000 }).toContain('the run tries again at its end')
    expect(printed).toContain('deployment: GitHub answers with status 502')
    return reporting
  }

  test.each<[string, Partial<Report>, string[][]]>([
    ['promotion', {}, [['in_progress', 'success', 'inactive'], ['success']]],
    ['roll back', { verdict: 'rolled-back', outcome: 'failure' }, [['in_progress', 'success'], ['failure']]],
  ])('because GitHub was down when a %s began, is created at its end', async (_, part, expected) => {
    const api = await github()
    await runOnce('deployment: production', environment(api))
    const reporting = await beginInOutage(api)
    api.recover()
    await reporting.end(report(part), {}, now)
    expect(states(api)).toEqual(expected)
    expect(printed).not.toContain('::warning')
  })

  test('and was created at its end is older than one whose run began later, and is promoted after it', async () => {
    const api = await github()
    const older = await beginInOutage(api)
    api.recover()
    const newer = await begin(api)
    await older.end(report(), {}, now)
    await newer.end(report(), {}, now)
    expect(states(api)).toEqual([
      ['in_progress', 'success'],
      ['success', 'inactive'],
    ])
  })

  test('and was created at its end is not green beside one that began later', async () => {
    const api = await github()
    const reporting = await beginInOutage(api)
    api.recover()
    await runOnce('deployment: production', environment(api))
    await reporting.end(report(), {}, now)
    expect(states(api)).toEqual([['in_progress', 'success'], ['inactive']])
  })

  test.each<[string, Partial<Report>]>([
    ['was refused', { verdict: 'skipped', outcome: 'failure', error: 'another run holds the Lease' }],
    ['had nothing to promote', { verdict: 'skipped' }],
  ])('and was created at its end is green although a run that %s has begun later', async (_, part) => {
    const api = await github()
    const reporting = await beginInOutage(api)
    api.recover()
    await runOnce('deployment: production', environment(api), report(part))
    await reporting.end(report(), {}, now)
    expect(states(api).at(-1)).toEqual(['success'])
  })

  test('is not created twice if only the answer was lost', async () => {
    const api = await github()
    await runOnce('deployment: production', environment(api))
    const [first] = api.state.deployments
    const reporting = await beginInOutage(api)
    api.state.deployments.push({
      ...first!,
      id: 999,
      node_id: 'node-999',
      created_at: new Date().toISOString(),
      statuses: [],
    })
    api.recover()
    await reporting.end(report(), {}, now)
    expect(states(api)).toEqual([['in_progress', 'success', 'inactive'], ['success']])
  })

  test('because the run found no cluster, has failed', async () => {
    const api = await github()
    const { server: _, ...refused } = report({ verdict: 'skipped', outcome: 'failure', error: 'no kubeconfig' })
    await runOnce('deployment: production', environment(api), refused)
    expect(states(api)).toEqual([['failure']])
  })

  test('goes on in the run that continues what a killed run has held', async () => {
    const api = await github()
    await begin(api)
    await runPostStep('the traffic of backend stays as it is', { isHeld: true })
    expect(api.state.deployments[0]!.statuses.at(-1)!.description).toBe('held: the traffic of backend stays as it is')
    await runOnce('deployment: production', environment(api))
    expect(states(api)).toEqual([['in_progress', 'failure', 'in_progress', 'success']])
  })
})

describe('the deployment of a fleet', () => {
  const fleet = (more = '') =>
    configOf(
      `name: shop\nnamespace: shop\ngithubToken: secret\n${canary}\ndeployment: production\n` +
        `clusters: { eu: { context: eu }, us: { context: us } }\n${more}`,
    )
  const servers = ['https://eu.example', 'https://us.example']
  const of = (part: Partial<Report> = {}) =>
    fleetReport(
      servers.map((server, i) => ({ name: `c${i}`, wave: 1, report: report({ server, ...part }) })),
      new Date(),
    )
  const runFleetOnce = async (api: GithubApi, config: Config, result: Report, reached = servers) => {
    const reporting = await start(config, environment(api))
    for (const server of reached) reporting.connected(server, now.cancelled)
    await reporting.end(result, {}, now)
  }
  const states = (api: GithubApi) => api.state.deployments.map(({ statuses }) => statuses.map(({ state }) => state))

  test('is one, which the run that continues a held canary goes on with, whichever cluster it reaches first', async () => {
    const api = await github()
    await runFleetOnce(api, fleet(), of({ verdict: 'held' }))
    await runFleetOnce(api, fleet(), of(), servers.toReversed())
    expect(states(api)).toEqual([['in_progress', 'in_progress', 'in_progress', 'success']])
  })

  test('has failed when the fleet reaches no cluster, and the one before stays', async () => {
    const api = await github()
    await runFleetOnce(api, fleet(), of())
    await runFleetOnce(api, fleet(), of({ verdict: 'skipped', outcome: 'failure', error: 'no API server' }), [])
    expect(states(api)).toEqual([['in_progress', 'success'], ['failure']])
  })

  test('is inactive after the stage rollback', async () => {
    const api = await github()
    await runFleetOnce(api, fleet(), of())
    const back = of({ verdict: 'rolled-back', returned: ['backend'], weight: 0 })
    await runFleetOnce(api, fleet('stages: rollback'), back, [])
    expect(states(api)).toEqual([['in_progress', 'success', 'inactive']])
  })

  test('stays active while the rollback has failed in one cluster', async () => {
    const api = await github()
    await runFleetOnce(api, fleet(), of())
    const failed = { ...emptyReport('shop', new Date(), false), outcome: 'failure' as const, error: 'no API server' }
    const clusters = [returned, failed].map((report, i) => ({ name: `c${i}`, wave: 1, report }))
    await runFleetOnce(api, fleet('stages: rollback'), fleetReport(clusters, new Date()), [])
    expect(states(api)).toEqual([['in_progress', 'success']])
  })
})

describe('reporting', () => {
  test('does not wait for GitHub while the post step has traffic to put back', { timeout: 12_000 }, async () => {
    const api = await github({ isHanging: true })
    const reporting = await start(config('deployment: production\ncomment: true'), environment(api))
    reporting.connected(server, now.cancelled)
    await expect.poll(() => api.state.requests, { timeout: 10_000 }).toHaveLength(1)
    await reporting.end(report({ verdict: 'inconclusive', outcome: 'failure' }), {}, { ...now, isLater: true })
    expect(printed).toContain('left to the post step')
    expect(api.state.requests).toHaveLength(1)
  })

  test('never rejects, whatever the report is', async () => {
    const api = await github()
    const broken = { ...report(), promotions: undefined } as unknown as Report
    await runOnce('deployment: production\ncomment: true', environment(api), broken)
    expect(printed).toContain('::warning title=GitHub::comment, deployment: ')
    printed = ''
    await runOnce('deployment: production', environment(api), broken)
    expect(printed).toContain('::warning title=GitHub::deployment: ')
  })

  test('waits until the post step has seen to the traffic', async () => {
    const api = await github()
    const result = report({ verdict: 'inconclusive', outcome: 'failure' })
    const reporting = await start(config('deployment: production\ncomment: true'), environment(api))
    reporting.connected(server, now.cancelled)
    await expect.poll(() => api.state.deployments[0]?.statuses, { timeout: 10_000 }).toHaveLength(1)
    await reporting.end(result, {}, { ...now, isLater: true })
    expect(api.state.comments).toEqual([])
    expect(api.state.deployments[0]!.statuses.map(({ state }) => state)).toEqual(['in_progress'])
    await runPostStep('backend is back on v1')
    expect(api.state.comments[0]!.body).toContain('### ⛔')
    expect(api.state.comments[0]!.body).toContain('\n\nAfter the run: backend is back on v1\n\n1970-01-01')
    expect(api.state.deployments[0]!.statuses.map(({ state }) => state)).toEqual(['in_progress', 'failure'])
  })

  test('says that the traffic may not be safe when the post step has failed', async () => {
    const api = await github()
    const both = config('deployment: production\ncomment: true')
    await reportOn(both, environment(api), report({ verdict: 'held' }), { ...now, isLater: true })
    await runPostStep(undefined, { isTrafficUnsafe: true })
    const text = 'the recovery failed, and the traffic may not be safe; the log of the run says what is left'
    expect(api.state.comments[0]!.body).toContain(`⛔ After the run: ${text}`)
    expect(api.state.deployments[0]!.statuses.at(-1)).toMatchObject({ state: 'failure', description: text })
  })

  test('ends at once when the run is cancelled, however slow GitHub is', async () => {
    const api = await github({ isHanging: true })
    const cancel = new AbortController()
    const how = { cancelled: cancel.signal, isLater: false }
    const ended = reportOn(config('comment: true'), environment(api), report(), how)
    await expect.poll(() => api.state.requests, { timeout: 10_000 }).not.toEqual([])
    cancel.abort()
    await ended
    api.recover()
    await runPostStep()
    expect(api.state.comments).toHaveLength(1)
  })
})

describe('a limit of the requests to GitHub', () => {
  const secondary = { status: 403, message: 'You have exceeded a secondary rate limit.' }
  const states = (api: GithubApi) => api.state.deployments.map(({ statuses }) => statuses.map(({ state }) => state))

  test.each<[string, GithubApiOptions['limit']]>([
    ['by its status', { status: 429, message: 'Too many requests' }],
    ['by its message', secondary],
    ['by the time to wait', { status: 403, message: 'Slow down', seconds: 1 }],
  ])('that is known %s costs no deployment', async (_, limit) => {
    const api = await github({ limited: 2, limit: limit! })
    await runOnce('deployment: production', environment(api))
    expect(states(api).map((all) => all.at(-1))).toEqual(['success'])
    expect(printed).not.toContain('::warning')
  })

  test('is no reason to forget a deployment that was created, nor is another refusal', async () => {
    const api = await github({ limited: 1, limit: { status: 403, message: 'Resource not accessible' } })
    await runOnce('deployment: production', environment(api))
    expect(states(api)).toEqual([['success']])
  })

  test('that lasts longer than the run waits is left to the post step', async () => {
    const api = await github({ limited: 100, limit: { ...secondary, seconds: 60 } })
    await runOnce('deployment: production\ncomment: true', environment(api))
    expect(printed).toContain('deployment: the token has used up its requests to GitHub (You have exceeded a')
    expect(printed).not.toContain('::warning')
    api.recover()
    await runPostStep()
    expect(states(api)).toEqual([['success']])
    expect(api.state.comments).toHaveLength(1)
  })
})

describe('a GitHub that does not answer about deployments', () => {
  test('costs no comment, and holds the end of the run no longer than its signal', async () => {
    const api = await github({ isHanging: 'deployments' })
    const cancel = new AbortController()
    const both = config('deployment: production\ncomment: true')
    const ended = reportOn(both, environment(api), report(), { cancelled: cancel.signal, isLater: false })
    await expect.poll(() => api.state.comments, { timeout: 10_000 }).toHaveLength(1)
    cancel.abort()
    await ended
    expect(printed).toContain('; the post step tries again')
    api.recover()
    await runPostStep()
    expect(api.state.deployments.map(({ statuses }) => statuses.at(-1)?.state)).toEqual(['success'])
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
    await runPostStep()
    expect(printed).toMatch(message)
  })

  test('a missing token is a warning, and a runner that is not of GitHub, too', async () => {
    const api = await github()
    await reportOn(configOf('comment: true'), environment(api))
    expect(printed).toContain('comment: there is no token; set `github-token: ${{ github.token }}`')
    await runOnce('comment: true', {})
    expect(printed).toContain(
      'comment: nothing is written, because this runner does not set GITHUB_REPOSITORY, GITHUB_SHA, GITHUB_API_URL, GITHUB_EVENT_NAME',
    )
  })
})
