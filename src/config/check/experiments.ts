// Contradictions inside the experiments, and between an experiment and the namespace.
import type { Config, ExperimentConfig } from '../schema.ts'
import { meshExpectations } from '../schema/experiments.ts'
import { minimumPollIntervalMs } from './canary.ts'
import { chaosObjectFaults } from './chaos-mesh.ts'
import { withPrefix, type Fault } from './fault.ts'
import { loadFaults } from './load.ts'

/** Where a fault would break more than the application. */
const systemNamespaces = ['istio-system', 'kube-system', 'kube-public', 'kube-node-lease']

export function experimentFaults(config: Config): Fault[] {
  const { namespace, experiments = {} } = config
  return Object.entries(experiments).flatMap(([name, experiment]) =>
    withPrefix(
      ['experiments', name],
      [
        ...namespaceFaults(namespace),
        ...timeFaults(experiment),
        ...(experiment.load ? loadFaults(config, experiment.service) : []),
        ...limitFaults(experiment),
        ...routeFaults(experiment),
        ...duringFaults(experiment),
        ...guardFaults(experiment),
        ...chaosFaults(experiment, namespace),
      ],
    ),
  )
}

function namespaceFaults(namespace: string): Fault[] {
  if (!systemNamespaces.includes(namespace)) return []
  const message = `the namespace ${namespace} belongs to the control plane; run experiments where the application is`
  return [{ path: [], message }]
}

function timeFaults({ duration, steadyState, pollInterval, recoverWithin, inject, guard }: ExperimentConfig): Fault[] {
  const { delay, podKill } = inject
  const longer = (key: string[], ms: number) => ({
    path: key,
    message: `${ms} ms is longer than the \`duration\` of the experiment (${duration} ms); make it shorter`,
  })
  return [
    ...(delay && delay.time > duration ? [longer(['inject', 'delay', 'time'], delay.time)] : []),
    ...(podKill?.every !== undefined && podKill.every > duration
      ? [longer(['inject', 'podKill', 'every'], podKill.every)]
      : []),
    ...(pollInterval > duration ? [longer(['pollInterval'], pollInterval)] : []),
    ...pollFaults(pollInterval, guard.after),
    ...(recoverWithin < recoveryPolls * pollInterval
      ? [
          {
            path: ['recoverWithin'],
            message:
              `${recoverWithin} ms is too short to see a recovery in: make it ${recoveryPolls * pollInterval} ms or longer, ` +
              `which is ${recoveryPolls} times \`pollInterval\``,
          },
        ]
      : []),
    ...(pollInterval > steadyState
      ? [{ path: ['steadyState'], message: `is shorter than \`pollInterval\` (${pollInterval} ms); make it longer` }]
      : []),
  ]
}

/** Three polls have to show the recovery, after the one that sees that the fault is removed. */
const recoveryPolls = 4

/** Each poll renews the Lease. One renewal may come late or get lost before the guard takes over. */
function pollFaults(pollInterval: number, guardMs: number): Fault[] {
  if (pollInterval < minimumPollIntervalMs)
    return [
      {
        path: ['pollInterval'],
        message:
          `${pollInterval} ms is too short for the sidecars and the API server; ` +
          `make it ${minimumPollIntervalMs}ms or longer`,
      },
    ]
  if (pollInterval <= guardMs / 3) return []
  const message =
    `${pollInterval} ms is longer than a third of \`guard\` (${guardMs} ms), so the guard could take over from a run that ` +
    'is alive; make it shorter, or `guard` longer'
  return [{ path: ['pollInterval'], message }]
}

function limitFaults({ expect, stopBelow, maxAffected, inject: { podKill, partition } }: ExperimentConfig): Fault[] {
  const faults: Fault[] = []
  if (stopBelow >= expect.successRate)
    faults.push({
      path: ['stopBelow'],
      message:
        `${percent(stopBelow)} is not below \`expect.successRate\` (${percent(expect.successRate)}), so the experiment ` +
        'could end while users get what is expected; lower it',
    })
  if (podKill?.share !== undefined && podKill.share > maxAffected)
    faults.push(affectedFault(['inject', 'podKill', 'share'], `${podKill.share}%`, maxAffected))
  if (partition && maxAffected < 100)
    faults.push(affectedFault(['inject', 'partition'], 'all pods of the workload', maxAffected))
  return faults
}

function affectedFault(path: string[], affected: string, maxAffected: number): Fault {
  const message = `affects ${affected}, more than \`maxAffected\` (${maxAffected}%); lower it, or raise \`maxAffected\``
  return { path, message }
}

const percent = (share: number) => `${Math.round(share * 10_000) / 100}%`

/** Envoy's fault filter comes before its router: the retries and the timeout of the same route do not see its faults. */
function routeFaults({ service, inject, expect }: ExperimentConfig): Fault[] {
  const fault = inject.delay ?? inject.abort
  if (!fault || (fault.service ?? service) !== service) return []
  const expected = meshExpectations.filter((name) => (expect[name]?.min ?? 0) > 0)
  return expected.map((name) => ({
    path: ['expect', name],
    message:
      `the proxy that calls ${service} injects the fault before its own retries, timeouts and limits, so these never act; ` +
      `set \`inject.${inject.delay ? 'delay' : 'abort'}.service\` to a service that ${service} calls`,
  }))
}

/** What a promotion reads and writes itself must stay its own. */
function duringFaults({ during, inject }: ExperimentConfig): Fault[] {
  const [kind] = (['delay', 'abort', 'overload'] as const).filter((each) => inject[each] !== undefined)
  if (during === undefined || kind === undefined) return []
  const written = kind === 'overload' ? 'DestinationRules' : 'routes'
  const message =
    `\`inject.${kind}\` changes the ${written} that a promotion works with; ` +
    'inject podKill, partition or chaosMesh during a promotion, or remove `during`'
  return [{ path: ['during'], message }]
}

function guardFaults({ guard }: ExperimentConfig): Fault[] {
  const message = 'an experiment needs its guard, which removes the fault if the run is lost; remove `guard: off`'
  return guard.enabled ? [] : [{ path: ['guard'], message }]
}

/** Of an object in the config; one in a file is checked when the run reads it. */
function chaosFaults({ inject: { chaosMesh } }: ExperimentConfig, namespace: string): Fault[] {
  const { kind, spec } = chaosMesh ?? {}
  return kind && spec ? withPrefix(['inject', 'chaosMesh'], chaosObjectFaults({ kind, spec }, namespace)) : []
}
