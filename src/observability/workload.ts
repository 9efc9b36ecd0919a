// The Deployment and the Service of a program that a run installs: one small pod without a sidecar, which meets the
// Pod Security Standard `restricted`.
import { createHash } from 'node:crypto'
import type { KubeObject } from '../cluster/objects.ts'
import { configHashAnnotation } from '../config/names.ts'
import { podInjectionLabel } from '../mesh/labels.ts'
import { nameLabel, observabilityObject } from './objects.ts'

export type Program = {
  name: string
  namespace: string
  image: string
  /** The user of the image, as a number: `runAsNonRoot` refuses a name. */
  user: number
  args: string[]
  /** Named as Istio expects it, such as `http-web` and `grpc-otlp`. */
  ports: { name: string; port: number }[]
  /** The files of its ConfigMap of the same name, mounted at `configFolder`. A change restarts the program. */
  config: Record<string, string>
  configFolder: string
  /** An empty folder that it may write to. */
  dataFolder: string
  readiness: { path: string; port: number }
  requests: { cpu: string; memory: string }
  memoryLimit: string
  serviceAccountName?: string
}

/** The ConfigMap, the Service and the Deployment. */
export function programObjects(program: Program): KubeObject[] {
  const { name, namespace, config, ports } = program
  return [
    observabilityObject('ConfigMap', { name, namespace }, { data: config }),
    observabilityObject(
      'Service',
      { name, namespace },
      {
        spec: {
          selector: { [nameLabel]: name },
          ports: ports.map((each) => ({ name: each.name, port: each.port, targetPort: each.port })),
        },
      },
    ),
    deployment(program),
  ]
}

function deployment(program: Program): KubeObject {
  const { name, namespace, config, serviceAccountName } = program
  const hash = createHash('sha256').update(JSON.stringify(config)).digest('hex').slice(0, 16)
  return observabilityObject(
    'Deployment',
    { name, namespace },
    {
      spec: {
        replicas: 1,
        // What it holds in memory cannot be shared by two pods.
        strategy: { type: 'Recreate' },
        selector: { matchLabels: { [nameLabel]: name } },
        template: {
          metadata: {
            labels: { [nameLabel]: name, [podInjectionLabel]: 'false' },
            annotations: { [configHashAnnotation]: hash },
          },
          spec: {
            ...(serviceAccountName === undefined ? { automountServiceAccountToken: false } : { serviceAccountName }),
            securityContext: {
              runAsNonRoot: true,
              runAsUser: program.user,
              runAsGroup: program.user,
              fsGroup: program.user,
              seccompProfile: { type: 'RuntimeDefault' },
            },
            containers: [container(program)],
            volumes: [
              { name: 'config', configMap: { name } },
              { name: 'data', emptyDir: {} },
            ],
          },
        },
      },
    },
  )
}

function container(program: Program): object {
  const { name, image, args, ports, configFolder, dataFolder, readiness, requests, memoryLimit } = program
  return {
    name,
    image,
    args,
    ports: ports.map((each) => ({ name: each.name, containerPort: each.port })),
    readinessProbe: { httpGet: readiness, periodSeconds: 2 },
    resources: { requests, limits: { memory: memoryLimit } },
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
    volumeMounts: [
      { name: 'config', mountPath: configFolder, readOnly: true },
      { name: 'data', mountPath: dataFolder },
    ],
  }
}
