// `npm start -- --experiment`: injects the faults of examples/sample-app/experiments.yaml into the sample app.
import { readFileSync } from 'node:fs'
import { load } from 'js-yaml'
import type { ActionRun, runner } from '../test/e2e/runner.ts'
import { metricNames, sampleApp, type TestCluster } from '../test/e2e/world.ts'

/** What the experiments must show, in their order. */
const expected = ['one-pod-less: resilient', 'no-database: fragile']

type Config = { experiments: Record<string, object>; istio: object }

/** Runs the stages up to the experiments. The sample app has been deployed. */
export async function runExperiments(
  { run, inputs }: TestCluster,
  machine: ReturnType<typeof runner>,
  onLine: (line: string) => void,
): Promise<ActionRun> {
  const kubectl = (...args: string[]) => run(['kubectl', '-n', 'sample-app', ...args])
  await kubectl('scale', 'deploy/backend', '--replicas=2')
  await kubectl('rollout', 'status', 'deploy/backend', '--timeout=120s')
  await run(['kubectl', 'label', 'namespace', 'sample-app', 'mesh-canary.io/experiments=allowed', '--overwrite'])
  const config = load(readFileSync(`${sampleApp}/experiments.yaml`, 'utf8')) as Config
  // The names of the counters are those of the embedded mesh, if `metrics` is among its inputs.
  const { metrics, ...others } = inputs
  if (metrics !== undefined)
    for (const experiment of Object.values(config.experiments)) Object.assign(experiment, { metrics: metricNames })
  return machine.run({ ...others, config: machine.file('experiments.json', JSON.stringify(config)) }, { onLine })
}

/** One line for each experiment that did not end as it must. */
export function wrongVerdicts({ report }: ActionRun): string[] {
  const verdicts = (report?.experiments ?? []).map(({ name, verdict }) => `${name}: ${verdict}`)
  return expected
    .filter((each) => !verdicts.includes(each))
    .map((each) => `expected ${each}, got ${verdicts.join(', ') || 'nothing'}`)
}
