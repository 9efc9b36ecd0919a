import { describe, expect, test } from 'vitest'
import { pipelineAttributes, pipelineRunAttributes } from '../../../src/run-telemetry/pipeline.ts'

const attributes = (env: Record<string, string>) => ({ ...pipelineAttributes(env), ...pipelineRunAttributes(env) })

describe('the pipeline of a run', () => {
  test('on GitHub', () => {
    const env = {
      GITHUB_SERVER_URL: 'https://github.com',
      GITHUB_REPOSITORY: 'acme/shop',
      GITHUB_WORKFLOW: 'Deploy',
      GITHUB_RUN_ID: '42',
      GITHUB_RUN_ATTEMPT: '2',
      GITHUB_REF: 'refs/pull/7/merge',
      GITHUB_HEAD_REF: 'faster',
      GITHUB_REF_NAME: '7/merge',
      GITHUB_SHA: 'abc',
    }
    expect(attributes(env)).toEqual({
      'cicd.pipeline.name': 'Deploy',
      'cicd.pipeline.run.id': '42',
      'cicd.pipeline.run.url.full': 'https://github.com/acme/shop/actions/runs/42/attempts/2',
      'vcs.provider.name': 'github',
      'vcs.repository.name': 'shop',
      'vcs.repository.url.full': 'https://github.com/acme/shop',
      'vcs.ref.head.name': 'faster',
      'vcs.ref.head.revision': 'abc',
      'vcs.change.id': '7',
    })
  })

  test('on GitLab', () => {
    const env = {
      CI_PROJECT_URL: 'https://gitlab.com/acme/shop',
      CI_PROJECT_PATH: 'acme/shop',
      CI_PIPELINE_ID: '42',
      CI_JOB_URL: 'https://gitlab.com/acme/shop/-/jobs/1',
      CI_COMMIT_REF_NAME: 'main',
      CI_COMMIT_SHA: 'abc',
    }
    expect(attributes(env)).toEqual({
      'cicd.pipeline.name': 'acme/shop',
      'cicd.pipeline.run.id': '42',
      'cicd.pipeline.run.url.full': 'https://gitlab.com/acme/shop/-/jobs/1',
      'vcs.provider.name': 'gitlab',
      'vcs.repository.name': 'shop',
      'vcs.repository.url.full': 'https://gitlab.com/acme/shop',
      'vcs.ref.head.name': 'main',
      'vcs.ref.head.revision': 'abc',
    })
  })

  test('on a laptop is unknown', () => {
    expect(attributes({})).toEqual({})
  })

  test('adds nothing to metrics that changes from run to run', () => {
    const env = { GITHUB_WORKFLOW: 'Deploy', GITHUB_RUN_ID: '42', GITHUB_SHA: 'abc', GITHUB_REF_NAME: 'main' }
    expect(pipelineAttributes(env)).toEqual({ 'cicd.pipeline.name': 'Deploy' })
  })
})
