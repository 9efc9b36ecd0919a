// Comments and deployments of whole workflow runs: act is the runner, and a stand-in answers as GitHub's API would
// (test/github-api.ts). The workflows need no mesh: one renders a plan, the other finds no cluster.
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
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
comment: true
`

let hub: ReturnType<typeof github>
beforeAll(() => {
  hub = github()
  hub.write('.github/workflows/plan.yml', workflow('pull-requests: write', plan))
  hub.write('.github/workflows/promotion.yml', workflow('deployments: write', promotion))
  hub.commit('Workflows that report')
  hub.git('push', '--quiet', 'origin', 'main')
})
afterAll(() => hub.remove())

async function api(options: Partial<GithubApiOptions> = {}): Promise<GithubApi> {
  const permissions: GithubApiOptions['permissions'] = ['pull-requests', 'deployments']
  const started = await startGithubApi({ token: 'token-of-a-test', permissions, ...options })
  onTestFinished(() => void started.server.close())
  return started
}

const branch = (name: string) => ({ ref: 'topic', sha: 'a'.repeat(40), repo: { full_name: name } })

function run({ address }: GithubApi, file: string) {
  return hub.run(file, {
    name: 'pull_request',
    ref: 'refs/heads/main',
    payload: { pull_request: { number: 7, head: branch('example/mesh-canary'), base: branch('example/mesh-canary') } },
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

  test('that fails leaves a deployment that has failed, and names the permission for the comment, which it lacks', async () => {
    const server = await api({ permissions: ['deployments'] })
    const { code, log } = await run(server, 'promotion.yml')
    expect(code).toBe(1)
    expect(log).toContain('give the job `permissions: { pull-requests: write }`')
    expect(server.state.comments).toEqual([])
    const [deployment, ...others] = server.state.deployments
    expect(others).toEqual([])
    expect(deployment).toMatchObject({ environment: 'production', sha: 'a'.repeat(40) })
    expect(deployment!.statuses.map(({ state }) => state)).toEqual(['in_progress', 'failure'])
    expect(deployment!.statuses.at(-1)!.description).toContain('kubeconfig')
  })
})
