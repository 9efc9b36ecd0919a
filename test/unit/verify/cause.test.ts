import { describe, expect, test } from 'vitest'
import type { ContainerStatus, KubeEvent, Pod } from '../../../src/cluster/objects.ts'
import { causeOf } from '../../../src/verify/cause.ts'
import { creationFailure } from '../../../src/verify/pod-creation.ts'
import { clusterWith, container, pod } from '../fixtures.ts'

type Event = {
  reason: string
  container?: string
  message?: string
  type?: string
  of?: string
  kind?: string
  lastTimestamp?: string
  eventTime?: string
}
type World = { pod: Pod; events?: Event[]; log?: string; previousLog?: string }

/**
 * A cluster that answers with these events and logs. It is a fake because a table of thirty broken pods is to be run in no time;
 * test/e2e/verify.test.ts provokes them for real, and the logs here are shortened from there.
 */
function clusterOf({ events = [], log = '', previousLog = '' }: Partial<World>) {
  const asked: string[] = []
  const cluster = clusterWith({
    list: (kind: string, namespace: string, { fieldSelector }: { fieldSelector: string }) => {
      asked.push(`${kind} ${namespace} ${fieldSelector}`)
      return Promise.resolve(
        events.map(
          ({ of = 'backend-1', kind = 'Pod', container: name, ...event }) =>
            ({
              type: 'Warning',
              ...event,
              involvedObject: {
                kind,
                name: of,
                ...(name === undefined ? {} : { fieldPath: `spec.containers{${name}}` }),
              },
            }) as KubeEvent,
        ),
      )
    },
    log: (namespace: string, name: string, of: string, lines: number, previous: boolean) => {
      asked.push(`log ${namespace} ${name} ${of} ${lines}${previous ? ' previous' : ''}`)
      return Promise.resolve(previous ? previousLog : log)
    },
  })
  return { cluster, asked }
}

const unready = [{ type: 'Ready', status: 'False' }]
/** A pod with these statuses of its containers; those that are not named are ready. */
function broken(
  app: Partial<ContainerStatus>,
  proxy: Partial<ContainerStatus> = {},
  init: Partial<ContainerStatus> = {},
): Pod {
  return pod({
    status: {
      phase: 'Running',
      conditions: unready,
      initContainerStatuses: [container('istio-init', init), container('istio-proxy', proxy)],
      containerStatuses: [container('app', app)],
    },
  })
}
const waiting = (reason: string, message?: string): Partial<ContainerStatus> => ({
  ready: false,
  state: { waiting: { reason, ...(message === undefined ? {} : { message }) } },
})
const crashed = (exitCode: number, reason = 'Error'): Partial<ContainerStatus> => ({
  ready: false,
  restartCount: 3,
  state: { waiting: { reason: 'CrashLoopBackOff' } },
  lastState: { terminated: { exitCode, reason } },
})
const restarted = (agoMs: number) =>
  pod({
    status: {
      phase: 'Running',
      conditions: [{ type: 'Ready', status: 'True' }],
      containerStatuses: [
        container('app', {
          restartCount: 1,
          state: { running: {} },
          lastState: {
            terminated: { exitCode: 1, reason: 'Error', finishedAt: new Date(Date.now() - agoMs).toISOString() },
          },
        }),
      ],
    },
  })
const unstarted = broken(waiting('PodInitializing'), waiting('PodInitializing'), waiting('PodInitializing'))
const unplaced = (message: string) =>
  pod({
    status: {
      phase: 'Pending',
      conditions: [{ type: 'PodScheduled', status: 'False', message }],
      containerStatuses: [],
      initContainerStatuses: [],
    },
  })
const running: Partial<ContainerStatus> = { ready: false, state: { running: {} } }

describe('the cause that a person would have found', () => {
  test.each<[string, World, string]>([
    [
      'no node has room',
      { pod: unplaced('0/1 nodes are available: 1 Insufficient cpu.') },
      'no node takes the pod: 0/1 nodes are available: 1 Insufficient cpu; free room on a node or lower the requests',
    ],
    [
      'the pod was created before its namespace asked for sidecars',
      { pod: pod({ spec: { initContainers: [] }, status: { initContainerStatuses: [] } }) },
      'the pod has no sidecar: it was created before the namespace asked for sidecars, or the injector skipped it; add its workload to `workloads`, or opt it out with the label sidecar.istio.io/inject: "false"',
    ],
    [
      "istiod's certificate is not in the namespace",
      {
        pod: broken(waiting('PodInitializing'), waiting('PodInitializing'), waiting('PodInitializing')),
        events: [{ reason: 'FailedMount', message: 'configmap "istio-ca-root-cert" not found' }],
      },
      'a volume cannot be mounted: configmap "istio-ca-root-cert" not found; istiod writes that ConfigMap into each namespace, so check that istiod runs',
    ],
    [
      'a volume of the application is missing',
      {
        pod: broken(waiting('ContainerCreating')),
        events: [{ reason: 'FailedMount', message: 'secret "db" not found' }],
      },
      'a volume cannot be mounted: secret "db" not found',
    ],
    [
      'the image cannot be pulled',
      { pod: broken({ ...waiting('ImagePullBackOff', 'Back-off pulling image'), image: 'shop/backend:v9' }) },
      'container app: the image shop/backend:v9 cannot be pulled (ImagePullBackOff: Back-off pulling image); check its name and the pull secret',
    ],
    [
      "the sidecar's image cannot be pulled, which stands among the init containers",
      { pod: broken(waiting('PodInitializing'), { ...waiting('ErrImagePull'), image: 'istio/proxyv2:9' }) },
      'container istio-proxy: the image istio/proxyv2:9 cannot be pulled (ErrImagePull); check its name and the pull secret',
    ],
    [
      'a ConfigMap that the container needs is missing',
      { pod: broken(waiting('CreateContainerConfigError', 'configmap "settings" not found')) },
      'container app cannot be created: configmap "settings" not found',
    ],
    [
      'the traffic rules cannot be set up',
      {
        pod: broken(waiting('PodInitializing'), waiting('PodInitializing'), crashed(255)),
        previousLog: "iptables-restore v1.8\ncan't initialize iptables table: Permission denied\n\n",
      },
      "istio-init could not set up the pod's traffic rules (exit code 255): can't initialize iptables table: Permission denied; it needs the capabilities NET_ADMIN and NET_RAW, or the Istio CNI plugin",
    ],
    [
      'istiod does not answer',
      {
        pod: broken(waiting('PodInitializing'), running),
        log: 'info\tstarting\nwarning\tEnvoy proxy is NOT ready: config not received from XDS server (is Istiod running?)\ninfo\tlater',
      },
      'the sidecar is not ready: it got no configuration from istiod; check that istiod runs and that the pod reaches it: Envoy proxy is NOT ready: config not received from XDS server (is Istiod running?)',
    ],
    [
      'Envoy rejected what it was sent',
      {
        pod: broken(waiting('PodInitializing'), running),
        log: 'warning\tgRPC config for type.googleapis.com/envoy.config.listener.v3.Listener rejected: bad filter\nlds updates: 0 successful, 1 was rejected',
      },
      'the sidecar is not ready: Envoy rejected its configuration: gRPC config for type.googleapis.com/envoy.config.listener.v3.Listener rejected: bad filter; correct the object that names it (most often an EnvoyFilter), or delete it',
    ],
    [
      'the sidecar gets no certificate',
      {
        pod: broken(waiting('PodInitializing'), running),
        log: '2026-11-23T08:28:20.338889Z\twarn\tsds\tfailed to warm certificate: failed to generate workload certificate: connection refused',
      },
      'the sidecar is not ready: it got no certificate from istiod; check that istiod runs and that the pod reaches it: sds failed to warm certificate: failed to generate workload certificate: connection refused',
    ],
    [
      'the sidecar finds no inotify instance left on the node',
      {
        pod: broken(waiting('PodInitializing'), crashed(255)),
        previousLog:
          "2026-11-23T08:28:20Z\tinfo\tOpening status port 15020\n2026-11-23T08:28:20Z\terror\tfailed to start default Istio SDS server: couldn't initialize inotify: too many open files",
      },
      "container istio-proxy ended with exit code 255 (Error), 3 restarts: failed to start default Istio SDS server: couldn't initialize inotify: too many open files; raise fs.inotify.max_user_instances on the node",
    ],
    [
      'Envoy may open no more files, is aborted, and the agent ends well',
      {
        pod: broken(waiting('PodInitializing'), {
          ...crashed(0, 'Completed'),
          state: { running: {} },
          lastState: { terminated: { exitCode: 0, reason: 'Completed', finishedAt: new Date().toISOString() } },
        }),
        previousLog:
          '2026-11-23T08:28:20Z\terror\tenvoy envoy_bug source/common/network/socket_interface_impl.cc:116\tsocket(2) failed, got error: Too many open files\tthread=15\n2026-11-23T08:28:20Z\terror\tEnvoy exited with error: signal: aborted',
      },
      "container istio-proxy ended with exit code 0 (Completed), 3 restarts: socket(2) failed, got error: Too many open files; raise the container's limit of open files (ulimit -n, which the node's container runtime sets), unless it leaks them",
    ],
    [
      'the application may open no more files, and says so above a stack',
      {
        pod: broken(crashed(1)),
        previousLog:
          "node:fs:621\n\nError: EMFILE: too many open files, watch '/app'\n    at Object.openSync (node:fs:621:18) {\n  errno: -24\n}\n\nNode.js v24.21.0",
      },
      "container app ended with exit code 1 (Error), 3 restarts: Error: EMFILE: too many open files, watch '/app'; raise fs.inotify.max_user_instances on the node",
    ],
    [
      'the pod was started before the CNI plugin',
      {
        pod: pod({
          status: {
            conditions: unready,
            initContainerStatuses: [container('istio-validation', crashed(126))],
            containerStatuses: [container('app', waiting('PodInitializing'))],
          },
        }),
        previousLog:
          '2026-11-23T08:28:20Z\terror\tiptables validation failed; workload is not ready for Istio.\nWhen using Istio CNI, this can occur if a pod is scheduled before the node is ready.\n\nOtherwise, this pod will need to be manually removed.\n',
      },
      "the pod's traffic rules are missing (istio-validation, exit code 126): iptables validation failed; workload is not ready for Istio; the pod started before the Istio CNI plugin was ready on its node: delete the pod so that it is created again",
    ],
    [
      'the CNI configuration names a plugin that is gone',
      {
        pod: unstarted,
        events: [
          {
            reason: 'FailedCreatePodSandBox',
            message:
              'Failed to create pod sandbox: rpc error: code = Unknown desc = failed to find plugin "istio-cni" in path [/opt/cni/bin]',
          },
        ],
      },
      'the pod\'s network cannot be set up: failed to find plugin "istio-cni" in path [/opt/cni/bin]; install that plugin on the node, or remove it from the CNI configuration there (the Istio CNI plugin may leave its entry behind)',
    ],
    [
      'the node has no network plugin',
      {
        pod: unstarted,
        events: [{ reason: 'NetworkNotReady', message: 'network is not ready: cni plugin not initialized' }],
      },
      "the pod's network cannot be set up: network is not ready: cni plugin not initialized; the node has no CNI configuration, so check that its network plugin runs",
    ],
    [
      'the node has no network plugin, and its kubelet has not reported on the containers yet',
      {
        pod: pod({
          status: { phase: 'Pending', conditions: unready, initContainerStatuses: [], containerStatuses: [] },
        }),
        events: [{ reason: 'NetworkNotReady', message: 'network is not ready: cni plugin not initialized' }],
      },
      "the pod's network cannot be set up: network is not ready: cni plugin not initialized; the node has no CNI configuration, so check that its network plugin runs",
    ],
    [
      'the network plugin fails',
      { pod: unstarted, events: [{ reason: 'FailedCreatePodSandBox', message: 'no addresses left' }] },
      "the pod's network cannot be set up: no addresses left; check the node's container runtime and CNI plugins",
    ],
    [
      'an image is on its way, after the network was late',
      {
        pod: unstarted,
        events: [
          { reason: 'Pulling', message: 'Pulling image "shop/backend:v9"', lastTimestamp: '2026-11-23T08:28:20Z' },
          { reason: 'FailedCreatePodSandBox', message: 'no addresses left', lastTimestamp: '2026-11-23T08:28:10Z' },
        ],
      },
      'an image is still being pulled: Pulling image "shop/backend:v9"; wait longer, or check that the node reaches the registry',
    ],
    [
      'the network was late, and the images are there',
      {
        pod: unstarted,
        events: [{ reason: 'FailedCreatePodSandBox', message: 'no addresses left' }, { reason: 'Pulled' }],
      },
      'container istio-init is not ready: PodInitializing',
    ],
    [
      'no node fits',
      {
        pod: unplaced(
          '0/3 nodes are available: 1 Insufficient memory, 2 node(s) had untolerated taint(s). preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.',
        ),
      },
      'no node takes the pod: 0/3 nodes are available: 1 Insufficient memory, 2 node(s) had untolerated taint(s); free room on a node or lower the requests; or check why the node has its taint (a node that is not ready has one), or let the pod tolerate it',
    ],
    ['the scheduler says something new', { pod: unplaced('no.') }, 'no node takes the pod: no'],
    [
      'a volume was missing for a moment, and the application crashes',
      {
        pod: broken(crashed(1)),
        events: [{ reason: 'FailedMount', message: 'configmap "istio-ca-root-cert" not found' }],
        previousLog: 'Error: no DB_HOST',
      },
      'container app ended with exit code 1 (Error), 3 restarts: Error: no DB_HOST',
    ],
    [
      "an init container of the application's own does not end",
      {
        pod: pod({
          spec: { initContainers: [{ name: 'istio-proxy', restartPolicy: 'Always' }, { name: 'wait-for-db' }] },
          status: {
            conditions: unready,
            initContainerStatuses: [container('istio-proxy'), container('wait-for-db', running)],
            containerStatuses: [container('app', waiting('PodInitializing'))],
          },
        }),
        log: 'waiting for the database',
      },
      'init container wait-for-db has not ended, and the application starts only after it: waiting for the database',
    ],
    [
      'the probe of the application fails behind the sidecar, whose own startup probe failed before',
      {
        pod: broken(running),
        events: [
          {
            reason: 'Unhealthy',
            container: 'app',
            message: 'Readiness probe failed: HTTP probe failed with statuscode: 500',
          },
          { reason: 'Unhealthy', container: 'istio-proxy', message: 'Startup probe failed: 503' },
        ],
        log: '2026-11-23T08:23:58Z\terror\tprobes\tRequest to probe app failed: connection refused, original URL path = /app-health/app/readyz',
      },
      'container app is not ready: Readiness probe failed: HTTP probe failed with statuscode: 500 (Request to probe app failed: connection refused)',
    ],
    [
      'somebody holds it back',
      {
        pod: pod({
          status: {
            phase: 'Pending',
            conditions: [{ type: 'PodScheduled', status: 'False', reason: 'SchedulingGated' }],
            containerStatuses: [],
            initContainerStatuses: [],
          },
        }),
      },
      'the pod waits for its scheduling gates; whoever set them must remove them',
    ],
    [
      'its last log is gone',
      {
        pod: broken(crashed(1)),
        previousLog: 'unable to retrieve container logs for containerd://1',
        log: 'Error: no DB_HOST',
      },
      'container app ended with exit code 1 (Error), 3 restarts: Error: no DB_HOST',
    ],
    [
      'the sidecar says nothing known',
      { pod: broken({}, running), log: 'hello\nbye\n' },
      'the sidecar is not ready: bye',
    ],
    ['the sidecar says nothing', { pod: broken({}, running) }, 'the sidecar is not ready: it logged nothing'],
    [
      'the application crashes',
      { pod: broken(crashed(1)), log: 'the new start\n', previousLog: 'booting\nError: no DB_HOST\n' },
      'container app ended with exit code 1 (Error), 3 restarts: Error: no DB_HOST',
    ],
    [
      'the application panics',
      {
        pod: broken(crashed(2)),
        previousLog: 'panic: no DB_HOST\n\ngoroutine 1 [running]:\nmain.main()\n\t/app/main.go:5 +0x1d\nexit status 2',
      },
      'container app ended with exit code 2 (Error), 3 restarts: panic: no DB_HOST',
    ],
    [
      'the sidecar runs out of memory',
      {
        pod: {
          ...broken(waiting('PodInitializing'), crashed(137, 'OOMKilled')),
          spec: {
            containers: [{ name: 'app' }],
            initContainers: [
              { name: 'istio-proxy', restartPolicy: 'Always', resources: { limits: { memory: '16Mi' } } },
            ],
          },
        },
      },
      'container istio-proxy ended with exit code 137 (OOMKilled), 3 restarts: it used more memory than its limit of 16Mi: raise the limit, or find the leak',
    ],
    [
      'the application runs out of memory',
      { pod: broken(crashed(137, 'OOMKilled')) },
      'container app ended with exit code 137 (OOMKilled), 3 restarts: it used more memory than its limit: raise the limit, or find the leak',
    ],
    [
      'the application has just crashed',
      { pod: broken({ ready: false, state: { terminated: { exitCode: 2 } } }), log: 'usage: app\n' },
      'container app ended with exit code 2, 0 restarts: usage: app',
    ],
    [
      'the readiness probe fails',
      {
        pod: broken(running),
        events: [
          { reason: 'Unhealthy', message: 'Readiness probe failed: 503' },
          { reason: 'Pulled', type: 'Normal' },
        ],
      },
      'container app is not ready: Readiness probe failed: 503',
    ],
    [
      'the readiness probe fails, and the log says why',
      {
        pod: broken(running),
        events: [{ reason: 'Unhealthy', message: 'Readiness probe failed: 503' }],
        log: 'accept: too many open files',
      },
      "container app is not ready: Readiness probe failed: 503; its log says: accept: too many open files; raise the container's limit of open files (ulimit -n, which the node's container runtime sets), unless it leaks them",
    ],
    [
      'the container is still starting',
      { pod: broken(waiting('ContainerCreating')) },
      'container app is not ready: ContainerCreating',
    ],
    [
      'the container runs and nothing is known',
      { pod: broken(running) },
      'container app is not ready: its readiness probe fails',
    ],
    [
      'a readiness gate is not met',
      {
        pod: pod({
          status: {
            conditions: [
              { type: 'Ready', status: 'False', reason: 'ReadinessGatesNotReady', message: 'gate "lb" does not exist' },
            ],
          },
        }),
        events: [{ reason: 'Unhealthy', message: 'Startup probe failed' }],
      },
      'its containers are ready, but a readiness gate of the pod is not: gate "lb" does not exist',
    ],
    [
      'the node warns',
      {
        pod: pod({ status: { conditions: unready } }),
        events: [{ reason: 'NodeNotReady', message: 'Node is not ready' }],
      },
      'NodeNotReady: Node is not ready',
    ],
    [
      'the application crashed a minute ago and runs again',
      { pod: restarted(60_000), log: 'the new start\n', previousLog: 'Error: no DB_HOST\n' },
      'container app ended with exit code 1 (Error), 1 restart: Error: no DB_HOST',
    ],
    ['it crashed long ago', { pod: restarted(3_600_000) }, 'the pod is ready'],
    ['there is none', { pod: pod() }, 'the pod is ready'],
  ])('%s', async (_, world, cause) => {
    expect(await causeOf(clusterOf(world).cluster, world.pod)).toBe(cause)
  })

  test("is read from the pod's own events and the log of the container that is to blame, before its restart", async () => {
    const { cluster, asked } = clusterOf({ previousLog: 'Error: no DB_HOST' })
    await causeOf(cluster, broken(crashed(1)))
    expect(asked).toEqual([
      'Event shop involvedObject.name=backend-1,involvedObject.uid=uid-1',
      'log shop backend-1 app 100 previous',
    ])
  })

  test('is told as far as it is known when events and logs may not be read', async () => {
    const cluster = clusterWith({
      list: () => Promise.reject(new Error('forbidden')),
      log: () => Promise.reject(new Error('forbidden')),
    })
    expect(await causeOf(cluster, broken(crashed(1)))).toBe(
      'container app ended with exit code 1 (Error), 3 restarts: it logged nothing',
    )
  })
})

describe('why a workload has no pods', () => {
  const hook =
    'Internal error occurred: failed calling webhook "namespace.sidecar-injector.istio.io": connection refused'
  const failed = (of: string, message: string, more: Partial<Event> = {}): Event => ({
    reason: 'FailedCreate',
    kind: 'ReplicaSet',
    of,
    message,
    ...more,
  })

  test.each<[string, Event[], string | undefined]>([
    [
      'the injector does not answer',
      [failed('backend-5d9f', hook)],
      `no pod can be created: ${hook}; the sidecar injector does not answer, so check that istiod runs`,
    ],
    [
      "the namespace's pod security forbids the sidecar's rules",
      [
        failed(
          'backend-5d9f',
          'pods "backend-5d9f-x" is forbidden: violates PodSecurity "restricted:latest": unrestricted capabilities (container "istio-init" must set …)',
        ),
      ],
      'no pod can be created: pods "backend-5d9f-x" is forbidden: violates PodSecurity "restricted:latest": unrestricted capabilities (container "istio-init" must set …); the namespace\'s pod security level forbids what istio-init needs (NET_ADMIN, NET_RAW): set the label pod-security.kubernetes.io/enforce to privileged, or use the Istio CNI plugin',
    ],
    [
      'a quota is used up',
      [failed('backend-5d9f', 'exceeded quota')],
      "no pod can be created: exceeded quota; the sidecar's requests count as well: raise the ResourceQuota of the namespace",
    ],
    [
      'a StatefulSet was told itself',
      [failed('backend', 'exceeded quota', { kind: 'StatefulSet' })],
      "no pod can be created: exceeded quota; the sidecar's requests count as well: raise the ResourceQuota of the namespace",
    ],
    [
      'only others were told',
      [failed('frontend-5d9f', 'exceeded quota'), failed('backends', 'exceeded quota', { kind: 'StatefulSet' })],
      undefined,
    ],
    [
      'only one was told whose name begins the same',
      [failed('backend-v2-5d9f', 'exceeded quota'), failed('backend-v2', 'exceeded quota', { kind: 'StatefulSet' })],
      undefined,
    ],
    [
      'the newest counts, wherever it stands and however its time is written',
      [
        failed('backend-5d9f', 'old', { lastTimestamp: '2026-01-01T00:00:00Z' }),
        failed('backend-7c4b', 'newest', { eventTime: '2026-01-01T00:02:00.000000Z' }),
        failed('backend-5d9f', 'newer', { lastTimestamp: '2026-01-01T00:01:00Z' }),
      ],
      'no pod can be created: newest',
    ],
    ['nobody was told', [], undefined],
  ])('%s', async (_, events, cause) => {
    expect(await creationFailure(clusterOf({ events }).cluster, 'shop', 'backend')).toBe(cause)
  })

  test('is not known, and hides no other cause, where events may not be read', async () => {
    const cluster = clusterWith({ list: () => Promise.reject(new Error('forbidden')) })
    expect(await creationFailure(cluster, 'shop', 'backend')).toBeUndefined()
  })
})
