// The ways to release that the benchmark compares. Each has a shop of its own, and releases images to it.
import { setTimeout as sleep } from 'node:timers/promises'
import type { runner } from '../../test/e2e/runner.ts'
import { sampleImage, type TestCluster } from '../../test/e2e/world.ts'
import { analysisSeconds, canary, namespace, plain, rollout, stepSeconds, weights, type Settings } from './objects.ts'

/**
 * `verdict`: what became of the canary. `isUndecided`: our run could not vouch for a promotion. `seconds`: until the
 * engine or the run has ended. `polls`: how often the benchmark itself has asked the API server meanwhile.
 */
export type Released = {
  verdict: 'promoted' | 'rolled-back'
  isUndecided?: boolean
  seconds: number
  reason: string
  polls: number
}

export type Arm = {
  engine: 'mesh-canary' | 'Argo Rollouts' | 'Flagger'
  settings: string
  /** Whose analysis decides. */
  analysis: 'own' | 'ours'
  app: string
  objects: object[]
  /** What all steps of a healthy release take at least. */
  stepsSeconds: number
  /** How often the analysis looks. */
  sampleSeconds: number
  release: (image: string) => Promise<Released>
  /** After a rollback: the first image is stable again, and nothing is under way. */
  reset: () => Promise<void>
}

type Machine = { testCluster: TestCluster; machine: ReturnType<typeof runner> }

const limitMs = 900_000
/** How often our analysis looks. */
const pollSeconds = 0.25

export function armsOf({ testCluster, machine }: Machine): Arm[] {
  const kubectl = (...args: string[]) => testCluster.run(['kubectl', '-n', namespace, ...args])
  const field = (kind: string, app: string, path: string) => kubectl('get', kind, app, '-o', `jsonpath={${path}}`)

  /** Runs the action on the shop. */
  const act = async (app: string, plan: string, more: string, stages: string): Promise<Released> => {
    const config = machine.file(
      `${app}.yaml`,
      `name: bench-${app}\nnamespace: ${namespace}\n${more}canary: { service: ${app}, pollInterval: ${pollSeconds}s, warmup: 0, ${plan} }\n`,
    )
    const began = Date.now()
    const { outputs, log } = await machine.run({ metrics: testCluster.inputs['metrics'] ?? '', config, stages })
    const { verdict: ours, reason = '' } = outputs
    const verdict = outputs['engine-verdict'] ?? ours
    if (verdict !== 'promoted' && verdict !== 'rolled-back') throw new Error(`${app}: ${ours ?? 'no verdict'}\n${log}`)
    const isUndecided = ours === 'inconclusive'
    return { verdict, isUndecided, seconds: (Date.now() - began) / 1000, reason, polls: 0 }
  }

  /** Waits for the engine's own verdict. */
  const untilEnded = async (
    began: number,
    verdict: () => Promise<Released['verdict'] | undefined>,
  ): Promise<Released> => {
    for (let polls = 1; Date.now() - began < limitMs; polls++) {
      const found = await verdict()
      if (found) return { verdict: found, seconds: (Date.now() - began) / 1000, reason: '', polls }
      await sleep(500)
    }
    throw new Error('the engine did not end')
  }

  const setImage = (kind: string, app: string, image: string) => {
    const operations = [{ op: 'replace', path: '/spec/template/spec/containers/0/image', value: image }]
    return kubectl('patch', kind, app, '--type=json', `--patch=${JSON.stringify(operations)}`)
  }

  const described = (settings: Settings | undefined): Pick<Arm, 'settings' | 'analysis'> =>
    settings === undefined
      ? { settings: 'our analysis', analysis: 'ours' }
      : { settings: settings === 'fastest' ? 'its fastest sensible' : 'as documented', analysis: 'own' }

  const argo = (app: string, settings: Settings | undefined): Arm => ({
    engine: 'Argo Rollouts',
    ...described(settings),
    app,
    objects: rollout(app, settings),
    stepsSeconds: weights.length * stepSeconds,
    sampleSeconds: settings ? analysisSeconds.argo[settings] : pollSeconds,
    release: async (image) => {
      if (!settings) return act(app, `engine: argo-rollouts, image: "${image}"`, '', 'promote')
      const began = Date.now()
      const before = await field('rollout', app, '.status.currentPodHash')
      await setImage('rollout', app, image)
      return untilEnded(began, async () => {
        const [now, stable, aborted] = (
          await field('rollout', app, '.status.currentPodHash} {.status.stableRS} {.status.abort')
        ).split(' ')
        if (now === before) return undefined
        if (aborted === 'true') return 'rolled-back'
        return now === stable ? 'promoted' : undefined
      })
    },
    reset: async () => {
      await setImage('rollout', app, sampleImage)
      await kubectl('wait', `rollout/${app}`, '--for=jsonpath={.status.phase}=Healthy', '--timeout=120s')
    },
  })

  const flagger = (app: string, settings: Settings | undefined): Arm => ({
    engine: 'Flagger',
    ...described(settings),
    app,
    objects: canary(app, settings),
    stepsSeconds: weights.length * analysisSeconds.flagger.fastest,
    sampleSeconds: settings ? analysisSeconds.flagger[settings] : pollSeconds,
    release: async (image) => {
      if (!settings) return act(app, `engine: flagger, image: "${image}"`, '', 'promote')
      const began = Date.now()
      await setImage('deployment', app, image)
      let isUnderWay = false
      return untilEnded(began, async () => {
        const phase = await field('canary', app, '.status.phase')
        isUnderWay ||= phase === 'Progressing'
        if (!isUnderWay) return undefined
        if (phase === 'Failed') return 'rolled-back'
        return phase === 'Succeeded' ? 'promoted' : undefined
      })
    },
    // Flagger would analyze the return to the first image like any other.
    reset: async () => {
      const merge = (patch: object, ...more: string[]) =>
        kubectl('patch', 'canary', app, '--type=merge', `--patch=${JSON.stringify(patch)}`, ...more)
      await merge({ spec: { suspend: true } })
      await setImage('deployment', app, sampleImage)
      const promoted = await field('canary', app, '.status.lastPromotedSpec')
      const status = { phase: 'Succeeded', lastAppliedSpec: promoted, failedChecks: 0, canaryWeight: 0, iterations: 0 }
      await merge({ status }, '--subresource=status')
      await merge({ spec: { suspend: false } })
    },
  })

  const builtin: Arm = {
    engine: 'mesh-canary',
    settings: 'builtin',
    analysis: 'own',
    app: 'own',
    objects: plain('own'),
    stepsSeconds: (weights.length + 1) * stepSeconds,
    sampleSeconds: pollSeconds,
    release: (image) =>
      act(
        'own',
        `steps: [${weights.join(', ')}, 100], interval: ${stepSeconds}s, image: "${image}"`,
        'services: { own: { port: 3001, retries: { attempts: 0 } } }\n',
        'policies, promote',
      ),
    reset: () => Promise.resolve(),
  }

  return [
    builtin,
    argo('argo', 'fastest'),
    argo('argo-judged', undefined),
    flagger('flag', 'fastest'),
    flagger('flag-judged', undefined),
    argo('argo-slow', 'documented'),
    flagger('flag-slow', 'documented'),
  ]
}
