// Renders the measured figures of the documentation from docs/measurements/*.json, so that no two places disagree.
// `npm run bench -- publish` copies the results of out/bench/ there; `node dev/generate.ts` renders them.
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { page, table } from './reference.ts'

/** The content of a file in docs/measurements/. `source` says where the numbers come from. */
type Measurement<T> = { measuredAt: string; machine: string; source: string; result: T }

type Detection = { medianSecondsToSafe: number; medianFailedRequests: number }
type Results = {
  detect: Detection & { requestsPerSecond: number; failing: number; firstStep: number; runs?: number }
  lossless: { failedRequests: number; sent: number; requestsPerSecond: number }
  split: { stepsOutside99: number; steps: { weight: number; requests: number }[] }
  simulate: {
    worstFalseRollbackRate: number
    /** Missing in the results of before there was a bound. */
    worstFalsePromotionRate?: number
    worstOfOthers: Record<string, number>
    runs: number
    healthyCells: number
    /** Median seconds until each rule finds a canary that fails 20%, at weight 10 and 50 requests a second. */
    secondsToFind: Record<string, number | null>
  }
  faults: { unsafeEndings: number; slowestSecondsToSafe: number; guardSeconds: number; cases: number }
  experiments: { leftBehind: number; slowestSecondsToRecovered: number; guardSeconds: number; cases: number }
  scale: { pods: { size: number; sample: { seconds: number; requests: number; peakBytes: number } }[] }
  startup: { runs: number; rows: { name: string; bytes: number; medianMs: number | null }[] }
  engines: {
    requestsPerSecond: number
    failing: number
    firstStep: number
    rows: EngineRow[]
    /** What the benchmark could not measure. */
    problems?: string[]
  }
  setup: { what: string; seconds: number | [number, number] }[]
}

/** `analysis`: whose decides. The counts after `range` are missing in the first comparison. */
type EngineRow = {
  engine: string
  settings: string
  analysis?: 'own' | 'ours'
  runs?: number
  medianSecondsToSafe: number | null
  range?: number[]
  medianFailedRequests: number | null
  missed?: number
  healthyRuns?: number
  falseRollbacks?: number
  medianSecondsOverSteps?: number | null
  lostRequests?: number
  apiRequestsPerSecond?: number | null
  apiRequestsPerSample?: number | null
}

/** Benchmarks whose result can be published, in the order of the table. */
const benches = [
  'detect',
  'simulate',
  'lossless',
  'faults',
  'experiments',
  'split',
  'startup',
  'engines',
  'scale',
] as const

/** Those that somebody has published. */
const publishedBenches = () => benches.filter((name) => existsSync(`docs/measurements/${name}.json`))

function read<Name extends keyof Results>(name: Name): Measurement<Results[Name]> & { repeats?: Detection[] } {
  return JSON.parse(readFileSync(`docs/measurements/${name}.json`, 'utf8')) as Measurement<Results[Name]>
}

/** The short table of the README. */
export function shortTable(): string {
  const [{ result: faults }, { result: lossless }] = [read('faults'), read('lossless')]
  return table(
    ['What', 'Measured'],
    [
      ['A canary that fails 20% of its requests, from its first response to its last', batchesText()],
      ['Healthy canaries rolled back, worst simulated case', percent(read('simulate').result.worstFalseRollbackRate)],
      [
        'Requests lost while traffic moves to the canary and back',
        `${lossless.failedRequests} of ${count(lossless.sent)}`,
      ],
      [
        `Unsafe endings after ${faults.cases} faults (run killed, cancelled or frozen; Lease or guard deleted; two ` +
          'pipelines; API server, istiod or containerd down)',
        String(faults.unsafeEndings),
      ],
      ['Size of the action; time from its start to the first error about a wrong input', startupText(ours())],
    ],
  )
}

/**
 * The comparison of the README. docs/from-flagger.md and docs/from-argo-rollouts.md have the facts about the others.
 */
export function comparisonTable(): string {
  const { worstFalseRollbackRate, worstOfOthers } = read('simulate').result
  const falseRollbacks = (rule: string) =>
    `${percent(worstOfOthers[rule]!)} as documented, ${percent(worstOfOthers[`${rule}, fastest`]!)} at its fastest`
  const { rows } = read('engines').result
  const fastest = (engine: string, analysis: 'own' | 'ours' = 'own') => {
    const [row] = rows
      .filter(
        (each) => each.engine === engine && (each.analysis ?? 'own') === analysis && each.medianSecondsToSafe !== null,
      )
      .toSorted((a, b) => a.medianSecondsToSafe! - b.medianSecondsToSafe!)
    return row ? engineText(row) : '-'
  }
  return table(
    ['', 'mesh-canary', 'Flagger', 'Argo Rollouts', 'Shell script'],
    [
      [
        'Where it runs',
        'a step of the pipeline',
        'controller in the cluster',
        'controller in the cluster',
        'the pipeline',
      ],
      ['Starts without a pipeline', 'no', 'yes', 'yes', 'no'],
      ['Outlasts one job of the pipeline', 'over several jobs (`runFor`)', 'yes', 'yes', 'no'],
      ['Result for the pipeline', 'verdict, reason, report', 'status to poll', 'status to poll', 'exit code'],
      ["Creates the canary's Deployment", 'yes, for a release of an image or manifests', 'yes', 'yes', 'no'],
      ['Installs the mesh and applies policies', 'yes', 'no', 'no', 'yes'],
      ['Service meshes and ingresses besides Istio', 'no', 'many', 'many', '-'],
      ['If the runner dies', 'guard rolls back', 'not affected', 'not affected', 'the weight stays'],
      [
        'Bad canary (20% of its requests fail): time until it gets none, and failed requests; each at its fastest sensible settings',
        fastest('mesh-canary'),
        fastest('Flagger'),
        fastest('Argo Rollouts'),
        '-',
      ],
      ...(rows.some(({ analysis }) => analysis === 'ours')
        ? [
            [
              'The same, judged by mesh-canary (`engine`)',
              '-',
              fastest('Flagger', 'ours'),
              fastest('Argo Rollouts', 'ours'),
              '-',
            ],
          ]
        : []),
      [
        'Healthy canaries rolled back, worst simulated case',
        percent(worstFalseRollbackRate),
        falseRollbacks('Flagger'),
        falseRollbacks('Argo'),
        `${percent(worstOfOthers['threshold']!)} (threshold per window)`,
      ],
    ],
  )
}

export function measurementsPage(): string {
  const simulate = read('simulate').result
  const engines = read('engines')
  return page('Measurements', [
    'All measured figures of the documentation. They are rendered from [docs/measurements](../measurements), where each file\n' +
      'states its date, machine and source. Your machine will differ: compare figures of one row, not absolute times.',
    `## Benchmarks\n\n${table(['Benchmark', 'What it measures', 'Result', 'Date', 'Machine'], publishedBenches().map(benchRow))}\n\n` +
      'Run one with `npm run bench -- NAME`. It prints a table and writes `out/bench/NAME.json`. `npm run bench -- publish`\n' +
      'copies those results to `docs/measurements/`.',
    [
      '## False rollbacks',
      '',
      `Share of healthy canaries that each rule rolls back: the worst of ${simulate.healthyCells} simulated cases with ` +
        `${count(simulate.runs)} promotions each,`,
      'with and without outages, bursts of failures and retries, and how soon it finds a bad canary at 50 requests a ' +
        `second ([decision 5](../decisions/${decision5})).`,
      '',
      table(
        ['Rule', 'Healthy canaries rolled back', 'Seconds until a canary that fails 20% is found, median'],
        Object.entries({ 'mesh-canary': simulate.worstFalseRollbackRate, ...simulate.worstOfOthers }).map(
          ([rule, rate]) => [rule, percent(rate), String(simulate.secondsToFind[rule] ?? '–')],
        ),
      ),
    ].join('\n'),
    `## Beside Flagger and Argo Rollouts\n\nA canary that fails ${percent(engines.result.failing)} of its requests at ` +
      `${engines.result.requestsPerSecond} requests a second, first step ${engines.result.firstStep}%, on one mesh: from the first response\n` +
      `of the canary to its last. Source: ${engines.source}.\n\n` +
      table(engineHeads, engines.result.rows.map(engineCells)) +
      (engines.result.problems?.length ? `\n\nNot measured: ${engines.result.problems.join('; ')}.` : ''),
    `## Startup\n\nSize of \`dist/\`, and the time from the start of the process to its first error about a wrong input, beside other actions:\n` +
      `medians of ${read('startup').result.runs}, measured in one interleaved run.\n\n` +
      table(
        ['Action', 'Size of `dist/`', 'Time to first error'],
        read('startup').result.rows.map(({ name, bytes, medianMs }) => [name, megabytes(bytes), ms(medianMs)]),
      ),
    `## Development\n\n${table(
      ['What', 'Took'],
      read('setup').result.map(({ what, seconds }) => [what, duration(seconds)]),
    )}\n\nThe mesh needs about 2.2 GB of disk under \`~/.cache/mesh-canary\` and 1.3 GB of memory with Istio and the sample app.`,
  ])
}

const engineHeads = [
  'Engine',
  'Settings',
  'Bad canaries',
  'Seconds, median [range]',
  'Failed requests, median',
  'Not found',
  'Healthy canaries',
  'Rolled back',
  'Lost requests',
  'Seconds over the steps',
  'API requests a second',
  'API requests per sample',
]

function engineCells(row: EngineRow): string[] {
  const shown = (value: number | null | undefined) => (value === undefined || value === null ? '–' : String(value))
  const range = row.range?.length ? ` [${row.range.join('–')}]` : ''
  return [
    row.engine,
    row.settings,
    shown(row.runs),
    `${shown(row.medianSecondsToSafe)}${range}`,
    ...[row.medianFailedRequests, row.missed, row.healthyRuns, row.falseRollbacks, row.lostRequests].map(shown),
    shown(row.medianSecondsOverSteps),
    shown(row.apiRequestsPerSecond),
    shown(row.apiRequestsPerSample),
  ]
}

const decision5 = '0005-how-the-checks-decide.md'

function benchRow(name: (typeof benches)[number]): string[] {
  const { measuredAt, machine } = read(name)
  return [`\`${name}\``, ...benchTexts[name](), measuredAt, machine]
}

/** What each benchmark measures, and its result. */
const benchTexts: Record<(typeof benches)[number], () => [string, string]> = {
  detect: () => {
    const { result, repeats = [] } = read('detect')
    const others = repeats.map(detectionText)
    return [
      `Canary fails ${percent(result.failing)}, first step ${result.firstStep}%, ${result.requestsPerSecond} requests a second on the real mesh: ` +
        `from its first response to a user to its last, median of ${result.runs ?? 5}`,
      `${detectionText(result)}${others.length > 0 ? `; other batches: ${others.join('; ')}` : ''}`,
    ]
  },
  simulate: () => {
    const { worstFalseRollbackRate, worstFalsePromotionRate, runs, healthyCells } = read('simulate').result
    return [
      `Healthy canaries rolled back, worst of ${healthyCells} cases with ${count(runs)} promotions each; allowed: 1%`,
      percent(worstFalseRollbackRate) +
        (worstFalsePromotionRate === undefined
          ? ''
          : `; bad canaries promoted, worst case: ${percent(worstFalsePromotionRate)} (allowed: 5%)`),
    ]
  },
  lossless: () => {
    const { failedRequests, sent, requestsPerSecond } = read('lossless').result
    return [
      `${requestsPerSecond} requests a second, weight 0 to 100 and a rollback, kept-alive and new connections, without retries`,
      `${failedRequests} of ${count(sent)} requests failed`,
    ]
  },
  faults: () => {
    const { unsafeEndings, slowestSecondsToSafe, guardSeconds, cases } = read('faults').result
    return [
      `${cases} faults on the real mesh: the run killed, cancelled or frozen at every point; its Lease or guard deleted; ` +
        'a second pipeline; API server, istiod or containerd killed or unreachable',
      `${unsafeEndings} unsafe endings; all traffic on one healthy version at most ${slowestSecondsToSafe} s after the run is lost (guard ${guardSeconds} s)`,
    ]
  },
  experiments: () => {
    const { leftBehind, slowestSecondsToRecovered, guardSeconds, cases } = read('experiments').result
    return [
      `${cases} ends of an experiment on the real mesh: the run killed or cancelled at every point; API server, istiod ` +
        "or Chaos Mesh's controller killed while the fault acts",
      `${leftBehind} faults left behind; users without failures at most ${slowestSecondsToRecovered.toFixed(1)} s after ` +
        `the run is lost (guard ${guardSeconds} s)`,
    ]
  },
  split: () => {
    const { stepsOutside99, steps } = read('split').result
    return [
      `Steps whose observed share is outside its 99% interval, at least ${count(Math.min(...steps.map(({ requests }) => requests)))} requests each`,
      `${stepsOutside99} of ${steps.length}`,
    ]
  },
  startup: () => ['Size of `dist/`, and time from start to first error', startupText(ours())],
  scale: () => {
    const largest = read('scale').result.pods.at(-1)!
    return [
      `A sample of one canary and its callers in a namespace of ${count(largest.size)} pods, against a real API server`,
      `${largest.sample.seconds.toFixed(2)} s, ${Math.round(largest.sample.requests)} requests, at most ${megabytes(largest.sample.peakBytes)} of memory`,
    ]
  },
  engines: () => ['This program beside Flagger and Argo Rollouts, each alone and judged by it', 'see below'],
}

type StartupRow = Results['startup']['rows'][number]

/** The median of the newest batch, and the range of the medians of all batches. */
function batchesText(): string {
  const { result, repeats = [] } = read('detect')
  const medians = [result, ...repeats].map(({ medianSecondsToSafe }) => medianSecondsToSafe)
  const range =
    repeats.length > 0
      ? ` (medians of ${medians.length} batches: ${tenths(Math.min(...medians))}–${tenths(Math.max(...medians))} s)`
      : ''
  return `${tenths(result.medianSecondsToSafe)} s${range}, ${result.medianFailedRequests} failed requests`
}

const ours = () => read('startup').result.rows.find(({ name }) => name === 'mesh-canary')!
const startupText = ({ bytes, medianMs }: StartupRow) => `${megabytes(bytes)}, ${ms(medianMs)}`
const detectionText = ({ medianSecondsToSafe, medianFailedRequests }: Detection) =>
  `${tenths(medianSecondsToSafe)} s and ${medianFailedRequests} failed requests`
const engineText = (row: EngineRow) =>
  `${tenths(row.medianSecondsToSafe)} s, ${row.medianFailedRequests} failed requests`
const tenths = (value: number | null) => (value === null ? '–' : value.toFixed(1))
const percent = (share: number) => `${Number((100 * share).toFixed(2))}%`
const count = (value: number) => value.toLocaleString('en-US')
const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`
const ms = (value: number | null) => (value === null ? 'not measured' : `${Math.round(value)} ms`)

function duration(seconds: number | [number, number]): string {
  if (Array.isArray(seconds)) return `${seconds.join('–')} s`
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`
}

/** Copies the results of these benchmarks, or of all in out/bench/, to docs/measurements/. @returns the names. */
export function publish(names: string[]): string[] {
  const wanted = benches.filter((name) => names.length === 0 || names.includes(name))
  const found = wanted.filter((name) => existsSync(`out/bench/${name}.json`))
  for (const name of found) {
    const source = `out/bench/${name}.json`
    const measurement: Measurement<unknown> = {
      measuredAt: statSync(source).mtime.toISOString().slice(0, 10),
      machine: `${availableParallelism()} cores, ${process.platform}`,
      source: `npm run bench -- ${name}`,
      result: compact(JSON.parse(readFileSync(source, 'utf8')) as Record<string, unknown>),
    }
    writeFileSync(`docs/measurements/${name}.json`, `${JSON.stringify(measurement, null, 2)}\n`)
  }
  return found
}

/** The result without its long lists, of which only what the tables show is kept. */
export function compact({ cells, faults, rows, each: _, ...rest }: Record<string, unknown>): object {
  return {
    ...rest,
    ...(cells ? compactCells(cells as SimulatedCell[]) : {}),
    ...(faults ? { cases: (faults as unknown[]).length } : {}),
    ...(rows ? { rows: (rows as (TimedRow | EngineRow)[]).map((row) => ('ms' in row ? compactRow(row) : row)) } : {}),
  }
}

type TimedRow = { name: string; bytes: number; ms: number[] }

function compactRow({ name, bytes, ms: times }: TimedRow): StartupRow {
  return { name, bytes, medianMs: times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? null }
}

type SimulatedRule = { rule: string; medianSeconds: number | null }
type SimulatedCell = { kind: string; rate: number; canary: number; ours: SimulatedRule; others: SimulatedRule[] }

function compactCells(cells: SimulatedCell[]): Pick<Results['simulate'], 'healthyCells' | 'secondsToFind'> {
  const bad = cells.find(({ kind, rate, canary }) => kind === 'found' && rate === 50 && canary === 0.2)
  const rules = bad ? [{ ...bad.ours, rule: 'mesh-canary' }, ...bad.others] : []
  return {
    healthyCells: cells.filter(({ kind }) => kind === 'healthy').length,
    secondsToFind: Object.fromEntries(rules.map(({ rule, medianSeconds }) => [rule, medianSeconds])),
  }
}
