import { describe, expect, test } from 'vitest'
import { runName } from '../../../src/runtime/environment.ts'

describe('the name of a run', () => {
  test.each<[string, Record<string, string>, string]>([
    [
      'is its address on GitHub',
      { GITHUB_SERVER_URL: 'https://github.test', GITHUB_REPOSITORY: 'shop/web', GITHUB_RUN_ID: '42' },
      'https://github.test/shop/web/actions/runs/42/attempts/1',
    ],
    [
      'is its address on GitLab',
      { CI_JOB_URL: 'https://gitlab.test/shop/-/jobs/7' },
      'https://gitlab.test/shop/-/jobs/7',
    ],
    [
      'is its address on Jenkins',
      { BUILD_URL: 'https://jenkins.test/job/shop/3/' },
      'https://jenkins.test/job/shop/3/',
    ],
    [
      'is its address on CircleCI',
      { CIRCLE_BUILD_URL: 'https://circleci.test/gh/shop/9' },
      'https://circleci.test/gh/shop/9',
    ],
  ])('%s', (_, env, name) => expect(runName(env)).toBe(name))

  test('is host and process elsewhere', () =>
    expect(runName({ CI_JOB_URL: '' })).toMatch(new RegExp(`^process ${process.pid} on `)))
})
