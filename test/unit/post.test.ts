import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { RecoveryIntent } from '../../src/canary/active-promotion.ts'
import type { Connection } from '../../src/cluster/connect.ts'
import type { FaultIntent } from '../../src/experiments/experiment.ts'
import { recordFleetPostState } from '../../src/fleet/post-state.ts'
import { recordPostState, runPost, type PostState } from '../../src/post.ts'
import { configOf, tempFolder } from './fixtures.ts'
import { fleetOf } from '../../src/config/fleet.ts'

/** The parts of an intent that these tests need. */
const intents = [
  {
    split: {
      namespace: 'shop',
      service: 'backend',
      stable: { by: 'subset', name: 'v1' },
      canary: { by: 'subset', name: 'v2' },
    },
    identity: 'me',
  } as RecoveryIntent,
]

const fault: FaultIntent = {
  experiment: 'slow-backend',
  namespace: 'shop',
  services: { target: 'backend', others: [] },
  identity: 'me',
  objects: [],
}

/** The last state that the run saved. */
function saved(canary: string, steps: (parts: ReturnType<typeof recordPostState>) => void): PostState {
  let lastSaved: PostState = {}
  steps(
    recordPostState(
      configOf(`{ context: here, canary: { service: backend, ${canary} } }`),
      (now) => (lastSaved = { ...now }),
    ),
  )
  return lastSaved
}

describe('the state for the post step', () => {
  const connected = (temporaryFile?: string) => ({ temporaryFile }) as Connection

  test('contains everything that the run has reported so far', () => {
    expect(
      saved(
        '',
        ({ onConnected, onRecoveryIntents }) => (
          onConnected(connected('/tmp/x/kubeconfig')), onRecoveryIntents(intents)
        ),
      ),
    ).toEqual({
      context: 'here',
      temporaryFile: '/tmp/x/kubeconfig',
      kubeconfig: '/tmp/x/kubeconfig',
      intents,
    })
  })

  test('contains the fault of an experiment until it is removed', () => {
    const { experiment } = fault
    expect(saved('', ({ onFaultIntent }) => onFaultIntent(experiment, fault)).faults).toEqual([fault])
    expect(
      saved('', ({ onFaultIntent }) => (onFaultIntent(experiment, fault), onFaultIntent(experiment, undefined))).faults,
    ).toEqual([])
  })

  test('keeps the fault that an experiment could not remove when another one begins and ends', () => {
    const left = saved('', ({ onFaultIntent }) => {
      onFaultIntent(fault.experiment, fault)
      onFaultIntent('next', { ...fault, experiment: 'next' })
      onFaultIntent('next', undefined)
    })
    expect(left.faults).toEqual([fault])
  })

  test('says to hold the weights only when onCancel asks for it and the run was cancelled', () => {
    expect(saved('onCancel: hold', ({ onRecoveryIntents }) => onRecoveryIntents(intents)).held).toBeUndefined()
    expect(
      saved('onCancel: hold', ({ onRecoveryIntents, onCancel }) => (onRecoveryIntents(intents), onCancel())).held,
    ).toBe(true)
    expect(
      saved('', ({ onRecoveryIntents, onCancel }) => (onRecoveryIntents(intents), onCancel())).held,
    ).toBeUndefined()
  })
})

describe('the state of a fleet for the post step', () => {
  const config = (onCancel: string) =>
    configOf(
      `{ clusters: { eu: { context: eu }, us: { context: us } }, canary: { service: backend, onCancel: ${onCancel} } }`,
    )

  test('contains the promotions and the faults of each cluster', () => {
    let last: PostState = {}
    const { inCluster } = recordFleetPostState(config('rollback'), (now) => (last = structuredClone(now)))
    const [eu, us] = fleetOf(config('rollback')).map(({ name, config }) => inCluster(name, config))
    eu!.onRecoveryIntents(intents)
    us!.onFaultIntent(fault.experiment, fault)
    expect(last.clusters).toEqual({ eu: { context: 'eu', intents }, us: { context: 'us', faults: [fault] } })
  })

  test('says for each cluster to hold the weights, if the run was cancelled and `onCancel` asks for it', () => {
    let last: PostState = {}
    const { inCluster, onCancel } = recordFleetPostState(config('hold'), (now) => (last = structuredClone(now)))
    fleetOf(config('hold')).forEach(({ name, config }) => inCluster(name, config).onRecoveryIntents(intents))
    onCancel()
    expect([last.clusters!['eu']!.held, last.clusters!['us']!.held]).toEqual([true, true])
  })
})

describe('the post step', () => {
  const folder = () => {
    const own = join(tempFolder(), 'own')
    mkdirSync(own)
    writeFileSync(join(own, 'kubeconfig'), '{}')
    return own
  }

  test('removes the kubeconfig of a run that leaves nothing to recover', async () => {
    const own = folder()
    expect(await runPost({ temporaryFile: join(own, 'kubeconfig') }, () => undefined)).toEqual([])
    expect(existsSync(own)).toBe(false)
  })

  test('removes the kubeconfig also when it cannot recover a promotion, and names the service', async () => {
    const own = folder()
    await expect(
      runPost({ intents, kubeconfig: '/nowhere', temporaryFile: join(own, 'kubeconfig') }, () => undefined),
    ).rejects.toThrow('the traffic of backend is not back on stable: kubeconfig: the file /nowhere does not exist')
    expect(existsSync(own)).toBe(false)
  })

  test('goes on in the other clusters of a fleet, and names those that it cannot recover', async () => {
    const [eu, us] = [folder(), folder()]
    const left = (own: string) => ({ intents, kubeconfig: '/nowhere', temporaryFile: join(own, 'kubeconfig') })
    await expect(runPost({ clusters: { eu: left(eu), us: left(us) } }, () => undefined)).rejects.toThrow(
      /^eu: the run ended .* of backend is not back on stable.*\nus: the run ended/,
    )
    expect([existsSync(eu), existsSync(us)]).toEqual([false, false])
  })

  test('names the experiment whose fault it cannot remove', async () => {
    const own = folder()
    await expect(
      runPost({ faults: [fault], kubeconfig: '/nowhere', temporaryFile: join(own, 'kubeconfig') }, () => undefined),
    ).rejects.toThrow(
      'in the middle of the experiment slow-backend, and its fault is not removed: kubeconfig: the file',
    )
    expect(existsSync(own)).toBe(false)
  })
})
