// Generates action.yml, the JSON Schema for editors, and the generated pages and pictures of the documentation.
// `node dev/generate.ts` writes them; `npm run check` compares them with what is committed.
import { readFileSync, writeFileSync } from 'node:fs'
import { inputs } from '../src/config/inputs.ts'
import { nodeAt as nodeIn, publishedSchema as publish } from '../src/config/published.ts'
import { renamedInputs, renamedKeys } from '../src/config/renamed-keys.ts'
import { stringify } from '../src/yaml/stringify.ts'
import { convertPages } from './convert-pages.ts'
import { dashboardFiles } from './dashboards/index.ts'
import { comparisonTable, measurementsPage, shortTable } from './measurements.ts'
import { panelPictures } from './panels.ts'
import { pictures } from './picture.ts'
import { promotionPage, simulatedPicture } from './simulated.ts'
import { reportPictures } from './report-pictures.ts'
import { between, configPage, inputsPage, outputsPage, policiesPage, type InputRow } from './reference.ts'

const published = publish()
const nodeAt = (path: string[]) => nodeIn(path, published)

const outputs: Record<string, string> = {
  'istioctl-path': 'Absolute path of istioctl; its folder is also on the PATH of later steps.',
  'istioctl-version': 'Version of istioctl.',
  'cache-hit': '`true` when istioctl came from the tool cache or from the cache of GitHub Actions.',
  kubeconfig: 'Path of the kubeconfig of the cluster that `cluster` created or found, for later steps of this job.',
  'ingress-address': 'Address of the ingress gateway of that cluster, as `address:port`.',
  'cluster-logs': "Folder with the logs of that cluster's nodes, if the run failed.",
  'mesh-version': 'Version of the control plane in the cluster.',
  images:
    'Images of the control plane and the sidecars, separated by spaces, if the run installs or changes the control plane, or would with `dry-run`.',
  verdict: 'How the promotion ended: `promoted`, `rolled-back`, `held`, `inconclusive` or `skipped`.',
  'engine-verdict':
    'What the controller has made of the canary, with an `engine` other than `builtin`: `promoted`, `rolled-back`, `held` ' +
    'or `running`. `verdict` is what this run can vouch for.',
  weight: "The canary's weight at the end, in percent.",
  reason: 'Why the promotion ended with this verdict.',
  image: 'With `after: gitops`, the image to commit; several are separated by spaces.',
  patch:
    'With `after: gitops`, the path of a patch to commit, as Kustomize and `kubectl patch` take it; several are separated by spaces.',
  'time-to-detect': "Seconds from the canary's first request to the decision against it.",
  'requests-observed': 'Number of requests that the canary served while mesh-canary watched it.',
  'experiment-verdict': 'How the experiments ended: `resilient`, `fragile` or `inconclusive`; of several the worst.',
  'experiment-reason': 'Why that experiment ended with this verdict.',
  changed:
    'Number of objects created, changed or deleted plus workloads restarted, including the routes and workloads that a ' +
    'promotion or rollback changed; 0 if everything was already as the config says. Not set if there was no cluster to ' +
    'compare with.',
  'trace-id':
    "ID of the run's trace, if `OTEL_EXPORTER_OTLP_ENDPOINT` is set and the collector has it. Separated by spaces; one for each cluster of a fleet.",
  report: 'Path of the JSON report.',
  'html-report': 'Path of the HTML report, if `html-report` asks for it.',
}

const configInput = 'Path of a config file. An input overrides the value in the file.'

function actionYml(): string {
  const described = Object.entries(inputs).map(([name, { path, yaml, default: value }]): [string, object] => [
    name,
    {
      description: `${nodeAt(path).description ?? ''}${yaml ? ' (YAML)' : ''}`,
      ...(value === undefined ? {} : { default: value }),
    },
  ])
  return `# Generated from src/config by \`node dev/generate.ts\`.\n${stringify({
    name: 'mesh-canary',
    description:
      'Installs an Istio mesh, applies traffic policies, verifies the sidecars, and promotes a canary by evidence or rolls it back.',
    author: 'The mesh-canary developers',
    branding: { icon: 'git-merge', color: 'blue' },
    inputs: { config: { description: configInput }, ...Object.fromEntries(described) },
    outputs: Object.fromEntries(Object.entries(outputs).map(([name, description]) => [name, { description }])),
    runs: { using: 'node24', main: 'dist/index.js', post: 'dist/index.js', 'post-if': 'always()' },
  })}`
}

const inputRows: InputRow[] = Object.entries(inputs).map(([name, { path, example, default: given }]) => {
  const { description = '', default: value = given } = nodeAt(path)
  return { name, key: path.join('.'), description, default: value, example }
})

/** The old names of keys and inputs with the new ones, as users write them. */
const renamed = [
  ...Object.entries(renamedKeys).map(([old, name]): [string, string] => [old, old.replace(/[^.]+$/, name)]),
  ...Object.entries(renamedInputs).map(([old, name]): [string, string] => [`input ${old}`, `input ${name}`]),
]

/** The README with its generated tables. */
function readme(): string {
  const text = between(readFileSync('README.md', 'utf8'), 'comparison', comparisonTable())
  return between(text, 'measured', shortTable())
}

/** Every generated file with its content. */
export function generated(): { file: string; text: string }[] {
  return [
    { file: 'action.yml', text: actionYml() },
    { file: 'docs/mesh.schema.json', text: `${JSON.stringify(published, null, 2)}\n` },
    { file: 'docs/policies.md', text: policiesPage() },
    { file: 'docs/promotion.md', text: promotionPage() },
    { file: 'docs/reference/config.md', text: configPage(published, renamed) },
    { file: 'docs/reference/inputs.md', text: inputsPage(configInput, inputRows) },
    { file: 'docs/reference/outputs.md', text: outputsPage(outputs) },
    { file: 'docs/reference/measurements.md', text: measurementsPage() },
    { file: 'README.md', text: readme() },
    ...convertPages(),
    ...dashboardFiles(),
    ...pictures(),
    ...panelPictures(),
    ...reportPictures(),
    simulatedPicture(),
  ]
}

if (import.meta.main) for (const { file, text } of generated()) writeFileSync(file, text)
