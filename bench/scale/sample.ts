// Samples the canary of the config whose path is the argument, as a promotion does, and prints what that costs. A
// process of its own, so that its memory is its own.
import { tmpdir } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { createObserver } from '../../src/canary/metrics/observer.ts'
import { closeWatches, watchObjects } from '../../src/canary/controller/watch.ts'
import { selectorsOf } from '../../src/canary/workload/selectors.ts'
import { createClient } from '../../src/cluster/client.ts'
import { connection } from '../../src/cluster/connect.ts'
import { loadConfig } from '../../src/config/load.ts'
import { canariesOf } from '../../src/config/names.ts'
import { hostOf } from '../../src/policies/compile/names.ts'
import { limitNewSpace } from '../../src/runtime/memory.ts'
import { usage } from './usage.ts'

const samples = 9

/**
 * `start`: until the first sample can be taken. `incomplete`: samples that did not get the counters of all pods of the
 * canary in time.
 */
export type SampleCost = {
  startSeconds: number
  startBytes: number
  startPeakBytes: number
  seconds: number
  slowestSeconds: number
  requests: number
  bytes: number
  cpuSeconds: number
  peakBytes: number
  incomplete: number
}

limitNewSpace()
const config = loadConfig({ INPUT_CONFIG: process.argv[2] }, process.env)
const [plan] = canariesOf(config)
const cluster = createClient(connection(undefined, undefined, tmpdir()), config.limits)
const startedAt = performance.now()
const watched = await watchObjects(cluster, config)
const service = {
  namespace: config.namespace,
  host: hostOf(plan!.service, config.namespace),
  plan: plan!,
  ...(await selectorsOf(cluster, config, plan!)),
}
const observer = await createObserver(cluster, watched.pods, service, () => undefined)
const startSeconds = (performance.now() - startedAt) / 1_000
const atStart = usage()
const seconds: number[] = []
let incomplete = 0
for (let i = 0; i < samples; i++) {
  const from = performance.now()
  const { observed } = await observer.sample()
  seconds.push((performance.now() - from) / 1_000)
  if (!observed.complete) incomplete++
  await sleep(100)
}
const atEnd = usage()
closeWatches(watched)
const cost: SampleCost = {
  startSeconds,
  startBytes: atStart.bytes,
  startPeakBytes: atStart.peakBytes,
  seconds: seconds.toSorted((a, b) => a - b)[(samples - 1) / 2]!,
  slowestSeconds: Math.max(...seconds),
  requests: (atEnd.requests - atStart.requests) / samples,
  bytes: (atEnd.bytes - atStart.bytes) / samples,
  cpuSeconds: (atEnd.cpuSeconds - atStart.cpuSeconds) / samples,
  peakBytes: atEnd.peakBytes,
  incomplete,
}
console.log(JSON.stringify(cost))
process.exit()
