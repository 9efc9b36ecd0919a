// The action's inputs: each is a place in the config. action.yml and the README are generated from this table.

export type Input = { path: string[]; yaml?: true; example: string }

/** Sections come before the keys inside them, so that the finer input wins. */
export const inputs: Record<string, Input> = {
  namespace: { path: ['namespace'], example: 'sample-app' },
  kubeconfig: { path: ['kubeconfig'], example: '${{ secrets.KUBECONFIG }}' },
  context: { path: ['context'], example: 'staging' },
  stages: { path: ['stages'], example: 'install, inject, verify' },
  istio: { path: ['istio'], yaml: true, example: '{ version: 1.31.0, profile: demo }' },
  'istio-version': { path: ['istio', 'version'], example: '1.31.0' },
  profile: { path: ['istio', 'profile'], example: 'demo' },
  set: { path: ['istio', 'set'], example: 'meshConfig.accessLogFile=/dev/stdout' },
  overlays: { path: ['istio', 'overlays'], example: 'deploy/istio.yaml' },
  mirror: { path: ['istio', 'mirror'], example: 'https://mirror.example/istio' },
  workloads: { path: ['workloads'], example: 'deploy/mysql, deploy/backend, deploy/frontend' },
  mtls: { path: ['mtls'], example: 'strict' },
  services: { path: ['services'], yaml: true, example: 'backend: { timeout: 10s }' },
  'verify-timeout': { path: ['verify', 'timeout'], example: '5m' },
  canary: { path: ['canary'], yaml: true, example: '{ service: backend, stable: v1, canary: v2 }' },
  steps: { path: ['canary', 'steps'], example: '5, 25, 50, 100' },
  interval: { path: ['canary', 'interval'], example: '30s' },
  'success-rate': { path: ['canary', 'checks', 'successRate'], example: '99%' },
  p99: { path: ['canary', 'checks', 'p99'], example: '500ms' },
  metrics: { path: ['canary', 'metrics'], yaml: true, example: '{ requests: istio_requests_total }' },
  report: { path: ['report'], example: 'mesh-report.json' },
}
