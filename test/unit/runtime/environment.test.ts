import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { finishRun, recordPostState, runName, type PostState } from '../../../src/runtime/environment.ts'
import type { RecoveryIntent } from '../../../src/canary/promote.ts'
import type { Connection } from '../../../src/cluster/connect.ts'
import { configOf, tempFolder } from '../fixtures.ts'

describe('a run is named by the address under which a person finds it', () => {
  test.each<[string, Record<string, string>, string]>([
    [
      'GitHub',
      { GITHUB_SERVER_URL: 'https://github.test', GITHUB_REPOSITORY: 'shop/web', GITHUB_RUN_ID: '42' },
      'https://github.test/shop/web/actions/runs/42/attempts/1',
    ],
    ['GitLab', { CI_JOB_URL: 'https://gitlab.test/shop/-/jobs/7' }, 'https://gitlab.test/shop/-/jobs/7'],
    ['Jenkins', { BUILD_URL: 'https://jenkins.test/job/shop/3/' }, 'https://jenkins.test/job/shop/3/'],
    ['CircleCI', { CIRCLE_BUILD_URL: 'https://circleci.test/gh/shop/9' }, 'https://circleci.test/gh/shop/9'],
  ])('%s', (_, env, name) => expect(runName(env)).toBe(name))

  test('and elsewhere by its process', () =>
    expect(runName({ CI_JOB_URL: '' })).toMatch(new RegExp(`^process ${process.pid} on `)))
})

/** As much of one as is told here. */
const intents = [
  {
    split: {
      namespace: 'shop',
      service: 'backend',
      stable: { by: 'subset', name: 'v1' },
      canary: { by: 'subset', name: 'v2' },
    },
    identity: 'me',
  } as RecoveryIntent,
]

/** What is kept in the course of a run. */
function left(canary: string, steps: (parts: ReturnType<typeof recordPostState>) => void): PostState {
  let kept: PostState = {}
  steps(
    recordPostState(
      configOf(`{ context: here, canary: { service: backend, ${canary} } }`),
      (now) => (kept = { ...now }),
    ),
  )
  return kept
}

describe('what a run leaves', () => {
  const connected = (temporaryFile?: string) => ({ temporaryFile }) as Connection

  test('is all that is known of it so far', () => {
    expect(left('', ({ connected: told, intent }) => (told(connected('/tmp/x/kubeconfig')), intent(intents)))).toEqual({
      context: 'here',
      temporaryFile: '/tmp/x/kubeconfig',
      kubeconfig: '/tmp/x/kubeconfig',
      intents,
    })
  })

  test('is to be held only where that was asked for, and the run was cancelled', () => {
    expect(left('onCancel: hold', ({ intent }) => intent(intents)).held).toBeUndefined()
    expect(left('onCancel: hold', ({ intent, cancel }) => (intent(intents), cancel())).held).toBe(true)
    expect(left('', ({ intent, cancel }) => (intent(intents), cancel())).held).toBeUndefined()
  })
})

describe('the end of a run', () => {
  const folder = () => {
    const own = join(tempFolder(), 'own')
    mkdirSync(own)
    writeFileSync(join(own, 'kubeconfig'), '{}')
    return own
  }

  test('removes what the run wrote, with nothing to put back', async () => {
    const own = folder()
    expect(await finishRun({ temporaryFile: join(own, 'kubeconfig') }, () => undefined)).toEqual([])
    expect(existsSync(own)).toBe(false)
  })

  test('removes it also when the traffic cannot be put back, and says whose', async () => {
    const own = folder()
    await expect(
      finishRun({ intents, kubeconfig: '/nowhere', temporaryFile: join(own, 'kubeconfig') }, () => undefined),
    ).rejects.toThrow('the traffic of backend is not back at stable: kubeconfig: the file /nowhere does not exist')
    expect(existsSync(own)).toBe(false)
  })
})
