// Rules for workflows that neither actionlint nor zizmor checks.
import { globSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { load } from 'js-yaml'
import { supportedKubernetes } from '../../../src/istioctl/support.ts'

type Job = { uses?: string; 'timeout-minutes'?: number; steps?: { uses?: string; with?: Record<string, unknown> }[] }
const workflows = globSync(['.github/workflows/*.yml', 'examples/workflows/*.yml']).map((file) => ({
  file,
  text: readFileSync(file, 'utf8'),
}))
const jobs = workflows.flatMap(({ file, text }) =>
  Object.entries((load(text) as { jobs: Record<string, Job> }).jobs).map(([name, job]) => ({
    name: `${file}: ${name}`,
    job,
  })),
)

test.each(jobs.filter(({ job }) => job.uses === undefined))(
  'the job $name ends after at most 90 minutes',
  ({ job }) => {
    expect(job['timeout-minutes']).toBeLessThanOrEqual(90)
  },
)

test('an external action has the same commit and version wherever it is used', () => {
  const uses = workflows.flatMap(({ text }) =>
    [...text.matchAll(/uses: ([\w-]+\/[\w-]+)[\w/-]*@([0-9a-f]{40} # v\d+\.\d+\.\d+)$/gm)].map(
      ([, action = '', version = '']) => ({ action, version }),
    ),
  )
  expect(uses.length).toBe(workflows.flatMap(({ text }) => [...text.matchAll(/uses: [^.\s]/g)]).length)
  const versions = Map.groupBy(uses, ({ action }) => action)
  expect(
    [...versions].map(([action, all]) => `${action}: ${[...new Set(all.map(({ version }) => version))].join(', ')}`),
  ).toEqual([...versions].map(([action, [first]]) => `${action}: ${first!.version}`))
})

test('the kind workflow uses the oldest and the newest Kubernetes of each Istio version, and no unsupported one', () => {
  const { jobs } = load(readFileSync('.github/workflows/kind.yml', 'utf8')) as {
    jobs: { kind: { strategy: { matrix: { include: { istio: string; kubernetes: string }[] } } } }
  }
  const cells = Map.groupBy(jobs.kind.strategy.matrix.include, ({ istio }) => istio.replace('.x', '.0'))
  expect([...cells.keys()].sort()).toEqual(['1.30.0', '1.31.0'])
  for (const [istio, all] of cells) {
    const minors = all.map(({ kubernetes }) => Number(kubernetes.split('.')[1]))
    const { oldest, newest } = supportedKubernetes(istio)!
    expect([`1.${Math.min(...minors)}`, `1.${Math.max(...minors)}`]).toEqual([oldest, newest])
  }
})
