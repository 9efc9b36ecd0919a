// The action's inputs. Each sets one key of the config.
// action.yml and the reference pages are generated from this table.

/**
 * `yaml: true`: the input is a map in YAML; `'or text'`: a map if it contains a colon, otherwise a single value;
 * `'list'`: a list in YAML.
 * `text`: the key inside the section that a single value sets, if other inputs set further keys of that section.
 * `default`: what the runner passes if the user does not set the input.
 */
export type Input = {
  path: string[]
  yaml?: true | 'or text' | 'list'
  text?: string
  example: string
  default?: string
}

/** Sections come before the keys inside them, so that the more specific input wins. */
export const inputs: Record<string, Input> = {
  name: { path: ['name'], example: 'shop' },
  namespace: { path: ['namespace'], example: 'sample-app' },
  kubeconfig: { path: ['kubeconfig'], example: '${{ secrets.KUBECONFIG }}' },
  cluster: { path: ['cluster'], yaml: 'or text', text: 'type', example: 'kind' },
  'kubernetes-version': { path: ['cluster', 'kubernetes'], example: '1.36' },
  'load-images': { path: ['cluster', 'loadImages'], example: 'sample-app:1, mysql.tar' },
  'keep-cluster': { path: ['cluster', 'keep'], example: 'true' },
  context: { path: ['context'], example: 'staging' },
  clusters: { path: ['clusters'], yaml: true, example: '{ eu: { context: eu }, us: { context: us, wave: 2 } }' },
  stages: { path: ['stages'], example: 'install, inject, verify' },
  istio: { path: ['istio'], yaml: true, example: '{ version: 1.31.0, profile: demo }' },
  'istio-version': { path: ['istio', 'version'], example: '1.31.x' },
  'version-file': { path: ['istio', 'versionFile'], example: '.tool-versions' },
  'check-latest': { path: ['istio', 'checkLatest'], example: 'true' },
  profile: { path: ['istio', 'profile'], example: 'demo' },
  set: { path: ['istio', 'set'], example: 'meshConfig.accessLogFile=/dev/stdout' },
  overlays: { path: ['istio', 'overlays'], example: 'deploy/istio.yaml' },
  revision: { path: ['istio', 'revision'], example: '1-31-0' },
  hub: { path: ['istio', 'hub'], example: 'registry.example/istio' },
  mirror: { path: ['istio', 'mirror'], example: 'https://mirror.example/istio' },
  sha256: { path: ['istio', 'sha256'], example: '5f7c…' },
  cache: { path: ['cache'], example: 'false' },
  // The token of GitHub Enterprise Server does not work on github.com, so it is not passed by default.
  token: {
    path: ['token'],
    example: '${{ secrets.GITHUB_COM_TOKEN }}',
    default: "${{ github.server_url == 'https://github.com' && github.token || '' }}",
  },
  workloads: { path: ['workloads'], example: 'deploy/mysql, deploy/backend, deploy/frontend' },
  mtls: { path: ['mtls'], yaml: 'or text', example: 'strict' },
  authorization: {
    path: ['authorization'],
    yaml: true,
    example: '{ defaultDeny: true, rules: { web: { to: { app: frontend }, ports: 3000 } } }',
  },
  jwt: {
    path: ['jwt'],
    yaml: true,
    example: 'users: { issuer: https://id.example, jwksUri: https://id.example/keys }',
  },
  egress: { path: ['egress'], yaml: true, example: '{ mode: registry-only, hosts: { api.example.com: {} } }' },
  scope: { path: ['scope'], yaml: true, example: '{ hosts: [./*, istio-system/*] }' },
  expose: { path: ['expose'], yaml: true, example: 'frontend: { port: 3000, hosts: [shop.example.com] }' },
  edge: {
    path: ['edge'],
    yaml: true,
    example:
      'tyk: { url: https://api.example.com, secret: "${{ secrets.TYK_SECRET }}", probe: { key: "${{ secrets.TYK_KEY }}" } }',
  },
  telemetry: { path: ['telemetry'], yaml: true, example: '{ accessLogs: true, tracing: 1% }' },
  observability: {
    path: ['observability'],
    yaml: true,
    example: '{ metrics: { prometheus: install }, traces: { collector: install } }',
  },
  policies: { path: ['policies'], example: 'mesh/**/*.yaml' },
  services: { path: ['services'], yaml: true, example: 'backend: { timeout: 10s }' },
  'verify-timeout': { path: ['verify', 'timeout'], example: '5m' },
  'traffic-checks': { path: ['verify', 'trafficChecks'], example: 'true' },
  canary: { path: ['canary'], yaml: true, example: '{ service: backend, stable: v1, canary: v2 }' },
  engine: { path: ['canary', 'engine'], yaml: 'or text', text: 'type', example: 'argo-rollouts' },
  image: { path: ['canary', 'image'], example: 'registry.example/backend:${{ github.sha }}' },
  manifests: { path: ['canary', 'manifests'], example: 'rendered/*.yaml' },
  steps: { path: ['canary', 'steps'], yaml: 'or text', example: '5, 25, 50, 100' },
  until: { path: ['canary', 'until'], example: '25' },
  interval: { path: ['canary', 'interval'], example: '30s' },
  after: { path: ['canary', 'after'], example: 'adopt' },
  guard: { path: ['canary', 'guard'], yaml: 'or text', example: '30s' },
  'on-cancel': { path: ['canary', 'onCancel'], example: 'hold' },
  'on-drift': { path: ['canary', 'onDrift'], example: 'take-over' },
  explain: { path: ['canary', 'explain'], example: 'true' },
  canaries: { path: ['canaries'], yaml: 'list', example: '[{ service: backend }, { service: frontend, wave: 2 }]' },
  'success-rate': { path: ['canary', 'checks', 'successRate'], example: '99%' },
  p99: { path: ['canary', 'checks', 'p99'], example: '500ms' },
  metrics: { path: ['canary', 'metrics'], yaml: true, example: '{ requests: istio_requests_total }' },
  experiments: {
    path: ['experiments'],
    yaml: true,
    example: 'slow-backend: { service: frontend, inject: { delay: { service: backend, time: 2s } } }',
  },
  'dry-run': { path: ['dryRun'], example: 'true' },
  report: { path: ['report'], example: 'mesh-report.json' },
  'html-report': { path: ['htmlReport'], example: 'mesh-report.html' },
  comment: { path: ['comment'], example: 'true' },
  deployment: { path: ['deployment'], example: 'production' },
  'github-token': {
    path: ['githubToken'],
    example: '${{ secrets.DELIVERY_TOKEN }}',
    default: '${{ github.token }}',
  },
}
