// Comments and deployments of whole workflow runs: act is the runner, and a stand-in answers as GitHub's API would
// (test/github-api.ts). The workflows need no mesh: one renders a plan, the other finds no cluster.
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { botLogin, startGithubApi, type GithubApi, type GithubApiOptions } from '../github-api.ts'
import { github } from './github.ts'

const workflow = (permissions: string, inputs: string) => `on: [pull_request, push]
permissions: { ${permissions} }
jobs:
  mesh:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v7
      - uses: ./
        with:
          name: shop
          ${inputs.trim().split('\n').join('\n          ')}
`
const plan = `
stages: plan
services: '{ backend: { timeout: 7s } }'
comment: true
`
const promotion = `
stages: promote
kubeconfig: /nowhere
canary: '{ service: backend, stable: v1, canary: v2 }'
deployment: production
`

let hub: ReturnType<typeof github>
beforeEach(() => {
  hub = github()
  hub.write('.github/workflows/plan.yml', workflow('pull-requests: write', plan))
  hub.write('.github/workflows/promotion.yml', workflow('deployments: write', promotion))
  hub.commit('Workflows that report')
  hub.git('push', '--quiet', 'origin', 'main')
})
afterEach(() => hub.remove())

async function api(options: Partial<GithubApiOptions> = {}): Promise<GithubApi> {
  const permissions: GithubApiOptions['permissions'] = ['pull-requests', 'deployments']
  const started = await startGithubApi({ token: 'token-of-a-test', permissions, ...options })
  onTestFinished(() => void started.server.close())
  return started
}

const branch = (name: string) => ({ ref: 'topic', sha: 'a'.repeat(40), repo: { full_name: name } })

function run({ address }: GithubApi, file: string, head = 'example/mesh-canary') {
  return hub.run(file, {
    name: 'pull_request',
    ref: 'refs/heads/main',
    payload: { pull_request: { number: 7, head: branch(head), base: branch('example/mesh-canary') } },
    args: ['--env', `GITHUB_API_URL=${address}`],
  })
}

describe('a workflow run', () => {
  test('has one comment after three runs, with the plan', async () => {
    const server = await api()
    for (let i = 0; i < 3; i++) expect((await run(server, 'plan.yml')).code).toBe(0)
    expect(server.state.comments).toMatchObject([{ issue: 7, user: { login: botLogin } }])
    expect(server.state.comments[0]!.body).toContain('timeout: 7s')
  })

  test('without the permissions names them, and succeeds', async () => {
    const server = await api({ permissions: [] })
    const { code, log } = await run(server, 'plan.yml')
    expect(log).toContain('give the job `permissions: { pull-requests: write }`')
    expect(code).toBe(0)
  })

  test('of a fork asks GitHub for nothing, and does not warn', async () => {
    const server = await api()
    const { code, log } = await run(server, 'plan.yml', 'somebody/mesh-canary')
    expect(log).toContain('comment: nothing for the pull request of a fork')
    expect(log).not.toMatch(/::warning|⚠/)
    expect(server.state.requests).toEqual([])
    expect(code).toBe(0)
  })

  test('that fails leaves a deployment that has failed', async () => {
    const server = await api()
    const { code } = await run(server, 'promotion.yml')
    expect(code).toBe(1)
    const [deployment, ...others] = server.state.deployments
    expect(others).toEqual([])
    expect(deployment).toMatchObject({ environment: 'production', sha: 'a'.repeat(40) })
    expect(deployment!.statuses.map(({ state }) => state)).toEqual(['in_progress', 'failure'])
    expect(deployment!.statuses.at(-1)!.description).toContain('kubeconfig')
  })
})
