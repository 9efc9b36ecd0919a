// The one schema. It validates the config file and the inputs and is published as JSON Schema; the reference tables
// come from its descriptions. It needs no cluster. Each section has a file in schema/.
import * as z from 'zod'
import type { Identity } from './identity.ts'
import { authorization } from './schema/authorization.ts'
import { canary } from './schema/canary.ts'
import { cluster } from './schema/cluster.ts'
import { fleetCluster } from './schema/clusters.ts'
import { edge } from './schema/edge.ts'
import { egress, scope } from './schema/egress.ts'
import { experiment } from './schema/experiments.ts'
import { exposure } from './schema/expose.ts'
import { istio } from './schema/istio.ts'
import { jwt } from './schema/jwt.ts'
import { mtls } from './schema/mtls.ts'
import { observability } from './schema/observability.ts'
import { nameOf } from './schema/parts.ts'
import { limits, runFor, verify } from './schema/run.ts'
import { service } from './schema/services.ts'
import { stages } from './schema/stages.ts'
import { telemetry } from './schema/telemetry.ts'
import { objectName, workloads } from './values/kubernetes.ts'
import { strings } from './values/lists.ts'
import { boolean, environmentName, nonEmptyString } from './values/strings.ts'

/** What the run acts on. */
const target = {
  name: objectName
    .optional()
    .describe(
      'Name of this config, which no other config in the cluster may have. Objects with this name that the config no ' +
        'longer contains are deleted. Default: the repository and the path of the config file. With inputs alone and ' +
        'no name, nothing is deleted.',
    ),
  namespace: objectName.prefault('default').describe('Namespace of the application.'),
  kubeconfig: nonEmptyString
    .optional()
    .describe(
      "Path or content of a kubeconfig. Default: `KUBECONFIG` (a list is merged as kubectl does), `~/.kube/config`, or the pod's service account.",
    ),
  cluster: cluster
    .optional()
    .describe('Cluster to create and use, instead of `kubeconfig`: `kind`, or a map with `type: kind`.'),
  context: nonEmptyString.optional().describe('Context of the kubeconfig to use.'),
  clusters: z
    .record(nameOf('a cluster'), fleetCluster)
    .optional()
    .describe('Clusters of a fleet, by name: the run does the same in all of them, and has one verdict.'),
  stages: stages.optional().describe('Stages to run. Default: the stages that the other inputs need.'),
}

/** The mesh and its policies. */
const mesh = {
  istio: istio.optional().describe('Control plane to install.'),
  workloads: workloads
    .optional()
    .describe('Workloads that get a sidecar, or `all`. Those without one restart in this order.'),
  mtls: mtls
    .optional()
    .describe('Mutual TLS of the namespace: `strict`, `permissive`, `disable`, or a map with exceptions.'),
  services: z.record(nameOf('a service'), service).optional().describe('Traffic policies by service.'),
  authorization: authorization.optional().describe('Who may call what.'),
  jwt: z.record(nameOf('a token policy'), jwt).optional().describe('Policies for JSON Web Tokens, by name.'),
  egress: egress.optional().describe('What pods may call outside the mesh.'),
  scope: scope.optional().describe('Which services the sidecars know. Fewer services need less memory and CPU.'),
  expose: z
    .record(nameOf('a service'), exposure)
    .optional()
    .describe('Services that a gateway exposes outside the cluster.'),
  edge: edge.optional().describe('API gateway in front of the ingress gateway.'),
  telemetry: telemetry.optional().describe('Access logs and tracing of the namespace.'),
  observability: observability
    .optional()
    .describe('Metrics, dashboards, alerts, traces and access logs. An empty one (`{}`) removes what was installed.'),
  policies: strings
    .optional()
    .describe(
      'Your own manifests, as file patterns: `mesh/**/*.yaml`. ' +
        'They are checked and applied like the generated objects.',
    ),
  verify: verify.prefault({}).describe('What must hold at the end.'),
}

/** Faults that are injected on purpose. */
const chaos = {
  experiments: z
    .record(nameOf('an experiment'), experiment)
    .optional()
    .describe(
      'Faults to inject, by the name of the experiment, one after the other. The namespace has to allow it with the label ' +
        '`mesh-canary.io/experiments: allowed`.',
    ),
}

/** The promotions. */
const promotion = {
  canary: canary.optional().describe('The promotion.'),
  canaries: z
    .array(canary)
    .min(1, { error: 'expected at least one' })
    .optional()
    .describe('Promotions of several services in one run, instead of `canary`.'),
  together: boolean
    .prefault(true)
    .describe(
      'If one of several canaries is rolled back, the others are rolled back too: also those of earlier waves and other ' +
        'clusters, and what an earlier run has left under way.',
    ),
  runFor: runFor
    .optional()
    .describe(
      'How long the run may take, such as `5h` where the runner ends each job after 6 hours. Shortly before, the ' +
        'promotions under way end `held` and keep their weights; the job succeeds. The next run of the same plan continues ' +
        'the step. The guard, unless it is off, rolls back if no run resumes in time.',
    ),
}

/** The run itself. */
const settings = {
  limits: limits
    .prefault({})
    .describe(
      'Time limits for other programs, where no other key sets one, and the rate of requests to the API server.',
    ),
  cache: boolean
    .prefault(true)
    .describe(
      'Keeps downloads in the GitHub Actions cache for later jobs, if the runner has one. ' +
        'A download from the cache is verified again.',
    ),
  token: nonEmptyString
    .optional()
    .describe(
      'Token for the GitHub API, which lists the releases for a version range. Without a token, the API allows few ' +
        'requests per hour. The token is sent nowhere else.',
    ),
  dryRun: boolean.prefault(false).describe('Shows what would change, and changes nothing.'),
  report: nonEmptyString
    .optional()
    .describe("Path for the JSON report. Default: a file in the runner's temporary folder."),
  htmlReport: nonEmptyString
    .optional()
    .describe(
      'Path for a report to look at: one HTML file with charts, which needs no network. Without it, none is written.',
    ),
  comment: boolean
    .prefault(false)
    .describe(
      'Keeps one comment on the pull request up to date: the plan, or how the promotion ended. The job needs ' +
        '`pull-requests: write`. On GitLab, a note on the merge request, with the token in `GITLAB_TOKEN`.',
    ),
  deployment: environmentName
    .optional()
    .describe(
      'Environment of a GitHub Deployment that follows the promotion, such as `production`. The job needs `deployments: write`.',
    ),
  githubToken: nonEmptyString
    .optional()
    .describe('Token for `comment` and `deployment`. It is sent only to the GitHub that runs the workflow.'),
}

export const schema = z.strictObject({ ...target, ...mesh, ...promotion, ...chaos, ...settings })

/**
 * What the user wrote, and whose it is. `places`: by dotted key, the file and line, or the input, of each section and of
 * each entry of a section.
 */
export type Config = Readonly<
  z.infer<typeof schema> & { identity: Identity; places?: Readonly<Record<string, string>> }
>
export type ServicePolicy = NonNullable<Config['services']>[string]
/** Requests that meet one of the matches. */
export type HttpMatches = NonNullable<ServicePolicy['routes']>[number]['match']
export type Exposure = NonNullable<Config['expose']>[string]
export type CanaryConfig = NonNullable<Config['canary']>
export type ExperimentConfig = NonNullable<Config['experiments']>[string]
export type ObservabilityConfig = NonNullable<Config['observability']>
export type ClusterConfig = NonNullable<Config['cluster']>
export type IstioConfig = NonNullable<Config['istio']>
