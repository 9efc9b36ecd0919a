// The pipeline and the commit that a run belongs to, as OpenTelemetry names them, by the variables of GitHub Actions,
// GitLab CI, Jenkins and CircleCI. What no variable says is missing. Pure.
import type { Attributes } from '@opentelemetry/api'
import {
  ATTR_CICD_PIPELINE_NAME,
  ATTR_CICD_PIPELINE_RUN_ID,
  ATTR_CICD_PIPELINE_RUN_URL_FULL,
  ATTR_VCS_CHANGE_ID,
  ATTR_VCS_PROVIDER_NAME,
  ATTR_VCS_REF_HEAD_NAME,
  ATTR_VCS_REF_HEAD_REVISION,
  ATTR_VCS_REPOSITORY_NAME,
  ATTR_VCS_REPOSITORY_URL_FULL,
} from '@opentelemetry/semantic-conventions/incubating'
import { runName } from '../runtime/environment.ts'
import { repositoryOfRun } from '../runtime/repository.ts'
import type { Environment } from './settings.ts'

/** An attribute gets the value of the first of its variables that is set. */
type Variables = Readonly<Record<string, readonly string[]>>

const ofPipeline: Variables = {
  [ATTR_CICD_PIPELINE_NAME]: ['GITHUB_WORKFLOW', 'CI_PIPELINE_NAME', 'CI_PROJECT_PATH', 'JOB_NAME', 'CIRCLE_JOB'],
}

const ofRun: Variables = {
  [ATTR_CICD_PIPELINE_RUN_ID]: ['GITHUB_RUN_ID', 'CI_PIPELINE_ID', 'BUILD_ID', 'CIRCLE_WORKFLOW_ID'],
  [ATTR_VCS_REF_HEAD_NAME]: [
    'GITHUB_HEAD_REF',
    'GITHUB_REF_NAME',
    'CI_COMMIT_REF_NAME',
    'BRANCH_NAME',
    'GIT_BRANCH',
    'CIRCLE_BRANCH',
    'CIRCLE_TAG',
  ],
  [ATTR_VCS_REF_HEAD_REVISION]: ['GITHUB_SHA', 'CI_COMMIT_SHA', 'GIT_COMMIT', 'CIRCLE_SHA1'],
  [ATTR_VCS_CHANGE_ID]: ['CI_MERGE_REQUEST_IID', 'CHANGE_ID', 'CIRCLE_PR_NUMBER'],
}

/** What all runs of the pipeline have in common. */
export function pipelineAttributes(env: Environment): Attributes {
  return { ...valuesOf(ofPipeline, env), ...repositoryAttributes(env) }
}

/** What distinguishes this run from the others. On metrics, it would make new series for each run. */
export function pipelineRunAttributes(env: Environment): Attributes {
  const pullRequest = /^refs\/pull\/(\d+)\//.exec(env['GITHUB_REF'] ?? '')?.[1]
  const url = runName(env)
  return {
    ...valuesOf(ofRun, env),
    ...(URL.canParse(url) ? { [ATTR_CICD_PIPELINE_RUN_URL_FULL]: url } : {}),
    ...(pullRequest === undefined ? {} : { [ATTR_VCS_CHANGE_ID]: pullRequest }),
  }
}

function valuesOf(variables: Variables, env: Environment): Attributes {
  const values = Object.entries(variables).flatMap(([attribute, names]): [string, string][] => {
    const value = names.map((name) => env[name]).find(Boolean)
    return value ? [[attribute, value]] : []
  })
  return Object.fromEntries(values)
}

function repositoryAttributes(env: Environment): Attributes {
  const repository = repositoryOfRun(env)
  if (repository === undefined) return {}
  const [provider] = [env['GITHUB_REPOSITORY'] && 'github', env['CI_PROJECT_URL'] && 'gitlab'].filter(Boolean)
  return {
    [ATTR_VCS_REPOSITORY_NAME]: repository.slice(repository.lastIndexOf('/') + 1),
    [ATTR_VCS_REPOSITORY_URL_FULL]: `https://${repository}`,
    ...(provider ? { [ATTR_VCS_PROVIDER_NAME]: provider } : {}),
  }
}
