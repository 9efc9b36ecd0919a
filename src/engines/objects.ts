// The objects of Argo Rollouts and Flagger, with only the fields that this program reads.
import type { KubeObject, Workload } from '../cluster/objects.ts'

type Labels = Record<string, string>

export type IstioRoute = { name: string; routes?: string[] }

/**
 * A route that a step adds in front of the others; without `match`, the step removes it. `percentage`: of a mirror, 100
 * by default.
 */
export type ManagedRoute = { name: string; match?: object[]; percentage?: number }

/** `duration`: seconds, or text with a unit; without one, the pause ends by an approval. */
export type RolloutStep = {
  setWeight?: number
  pause?: { duration?: number | string }
  setHeaderRoute?: ManagedRoute
  setMirrorRoute?: ManagedRoute
  [other: string]: unknown
}

export type RolloutStrategy = {
  canary?: {
    stableService?: string
    canaryService?: string
    pingPong?: object
    canaryMetadata?: { labels?: Labels }
    stableMetadata?: { labels?: Labels }
    trafficRouting?: {
      istio?: {
        virtualService?: IstioRoute
        virtualServices?: IstioRoute[]
        destinationRule?: { name: string; stableSubsetName?: string; canarySubsetName?: string }
      }
      [provider: string]: unknown
    }
    steps?: RolloutStep[]
  }
  blueGreen?: object
}

type AnalysisStatus = { name?: string; status?: string; message?: string }

export type Rollout = KubeObject & {
  spec: {
    paused?: boolean
    replicas?: number
    selector?: { matchLabels?: Labels }
    template?: Workload['spec']['template']
    workloadRef?: { apiVersion?: string; kind: string; name: string }
    strategy?: RolloutStrategy
  }
  status?: {
    phase?: string
    message?: string
    abort?: boolean
    /** Of the spec that the controller acts on: the generation, as text. */
    observedGeneration?: string
    /** Of the Deployment in `workloadRef`. */
    workloadObservedGeneration?: string
    currentPodHash?: string
    stableRS?: string
    currentStepIndex?: number
    controllerPause?: boolean
    pauseConditions?: { reason: string }[]
    canary?: {
      currentStepAnalysisRunStatus?: AnalysisStatus
      currentBackgroundAnalysisRunStatus?: AnalysisStatus
    }
  }
}

/** `Canary` of Flagger. */
export type FlaggerCanary = KubeObject & {
  spec: {
    provider?: string
    suspend?: boolean
    skipAnalysis?: boolean
    targetRef: { kind: string; name: string }
    service: { name?: string; port?: number }
    analysis?: {
      interval?: string
      threshold?: number
      iterations?: number
      stepWeight?: number
      stepWeights?: number[]
      maxWeight?: number
      match?: object[]
      mirror?: boolean
      sessionAffinity?: object
      webhooks?: { name: string; type?: string }[]
    }
  }
  status?: {
    phase?: string
    failedChecks?: number
    canaryWeight?: number
    iterations?: number
    lastAppliedSpec?: string
    trackedConfigs?: Record<string, string>
    lastPromotedSpec?: string
    conditions?: { type: string; reason?: string; message?: string }[]
  }
}
