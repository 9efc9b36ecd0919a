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
type Case = { pod: Pod; events?: Event[]; log?: string; previousLog?: string }

/**
 * A cluster that answers with these events and logs. It is a fake so that a table of thirty broken pods runs fast;
 * test/e2e/verify.test.ts breaks real pods, and the logs here are shortened copies of theirs.
 */
function clusterOf({ events = [], log = '', previousLog = '' }: Partial<Case>) {
  const calls: string[] = []
  const cluster = clusterWith({
    list: (kind: string, namespace: string, { fieldSelector }: { fieldSelector: string }) => {
      calls.push(`${kind} ${namespace} ${fieldSelector}`)
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
      calls.push(`log ${namespace} ${name} ${of} ${lines}${previous ? ' previous' : ''}`)
      return Promise.resolve(previous ? previousLog : log)
    },
  })
  return { cluster, calls }
}

const unready = [{ type: 'Ready', status: 'False' }]
/** A pod with these container statuses; the other containers are ready. */
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

describe('the cause of a pod that is not ready', () => {
  test.each<[string, Case, string]>([
    [
      'is that no node has room',
      { pod: unplaced('0/1 nodes are available: 1 Insufficient cpu.') },
      'no node takes the pod: 0/1 nodes are available: 1 Insufficient cpu; free room on a node or lower the requests',
    ],
    [
      'is that its namespace had no injection label when the pod was created',
      { pod: pod({ spec: { initContainers: [] }, status: { initContainerStatuses: [] } }) },
      'the pod has no sidecar: it was created before the namespace asked for sidecars, or the injector skipped it; add its workload to `workloads`, or opt it out with the label sidecar.istio.io/inject: "false"',
    ],
    [
      'is that the certificate of istiod is missing in the namespace',
      {
        pod: broken(waiting('PodInitializing'), waiting('PodInitializing'), waiting('PodInitializing')),
        events: [{ reason: 'FailedMount', message: 'configmap "istio-ca-root-cert" not found' }],
      },
      'a volume cannot be mounted: configmap "istio-ca-root-cert" not found; istiod writes that ConfigMap into each namespace, so check that istiod runs',
    ],
    [
      'is a missing volume of the application',
      {
        pod: broken(waiting('ContainerCreating')),
        events: [{ reason: 'FailedMount', message: 'secret "db" not found' }],
      },
      'a volume cannot be mounted: secret "db" not found',
    ],
    [
      'is an image that cannot be pulled',
      { pod: broken({ ...waiting('ImagePullBackOff', 'Back-off pulling image'), image: 'shop/backend:v9' }) },
      'container app: the image shop/backend:v9 cannot be pulled (ImagePullBackOff: Back-off pulling image); check its name and the pull secret',
    ],
    [
      'is an image of the sidecar, an init container, that cannot be pulled',
      { pod: broken(waiting('PodInitializing'), { ...waiting('ErrImagePull'), image: 'istio/proxyv2:9' }) },
      'container istio-proxy: the image istio/proxyv2:9 cannot be pulled (ErrImagePull); check its name and the pull secret',
    ],
    [
      'is a missing ConfigMap that the container needs',
      { pod: broken(waiting('CreateContainerConfigError', 'configmap "settings" not found')) },
      'container app cannot be created: configmap "settings" not found',
    ],
    [
      'is that istio-init cannot set up the traffic rules',
      {
        pod: broken(waiting('PodInitializing'), waiting('PodInitializing'), crashed(255)),
        previousLog: "iptables-restore v1.8\ncan't initialize iptables table: Permission denied\n\n",
      },
      "istio-init could not set up the pod's traffic rules (exit code 255): can't initialize iptables table: Permission denied; it needs the capabilities NET_ADMIN and NET_RAW, or the Istio CNI plugin",
    ],
    [
      'is that istiod does not answer',
      {
        pod: broken(waiting('PodInitializing'), running),
        log: 'info\tstarting\nwarning\tEnvoy proxy is NOT ready: config not received from XDS server (is Istiod running?)\ninfo\tlater',
      },
      'the sidecar is not ready: it got no configuration from istiod; check that istiod runs and that the pod reaches it: Envoy proxy is NOT ready: config not received from XDS server (is Istiod running?)',
    ],
    [
      'is a configuration that Envoy rejected',
      {
        pod: broken(waiting('PodInitializing'), running),
        log: 'warning\tgRPC config for type.googleapis.com/envoy.config.listener.v3.Listener rejected: bad filter\nlds updates: 0 successful, 1 was rejected',
      },
      'the sidecar is not ready: Envoy rejected its configuration: gRPC config for type.googleapis.com/envoy.config.listener.v3.Listener rejected: bad filter; correct the object that names it (most often an EnvoyFilter), or delete it',
    ],
    [
      'is that the sidecar gets no certificate',
      {
        pod: broken(waiting('PodInitializing'), running),
        log: '2026-11-23T08:28:20.338889Z\twarn\tsds\tfailed to warm certificate: failed to generate workload certificate: connection refused',
      },
      'the sidecar is not ready: it got no certificate from istiod; check that istiod runs and that the pod reaches it: sds failed to warm certificate: failed to generate workload certificate: connection refused',
    ],
    [
      'is that the node has no inotify instance left for the sidecar',
      {
        pod: broken(waiting('PodInitializing'), crashed(255)),
        previousLog:
          "2026-11-23T08:28:20Z\tinfo\tOpening status port 15020\n2026-11-23T08:28:20Z\terror\tfailed to start default Istio SDS server: couldn't initialize inotify: too many open files",
      },
      "container istio-proxy ended with exit code 255 (Error), 3 restarts: failed to start default Istio SDS server: couldn't initialize inotify: too many open files; raise fs.inotify.max_user_instances on the node",
    ],
    [
      'is the limit of open files, when Envoy aborts and the agent exits with code 0',
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
      'is what the container before it logged, when Envoy ended before it logged why',
      {
        pod: broken(waiting('PodInitializing'), {
          ...crashed(0, 'Completed'),
          state: { terminated: { exitCode: 0, reason: 'Completed' } },
        }),
        log: '2026-11-23T08:28:31Z\tinfo\tsds\tStarting SDS server for workload certificates',
        previousLog:
          '2026-11-23T08:28:20Z\terror\tenvoy envoy_bug source/common/network/socket_interface_impl.cc:116\tsocket(2) failed, got error: Too many open files\tthread=15',
      },
      "container istio-proxy ended with exit code 0 (Completed), 3 restarts: socket(2) failed, got error: Too many open files; raise the container's limit of open files (ulimit -n, which the node's container runtime sets), unless it leaks them",
    ],
    [
      'is the limit of open files, when the agent gives up its certificate after Envoy has aborted',
      {
        pod: broken(waiting('PodInitializing'), crashed(0, 'Completed')),
        previousLog:
          '2026-11-23T08:28:20Z\terror\tenvoy envoy_bug source/common/network/socket_interface_impl.cc:116\tsocket(2) failed, got error: Too many open files\tthread=15\n2026-11-23T08:28:21Z\twarn\tsds\tfailed to warm certificate: failed to generate workload certificate: create certificate: rpc error: code = Canceled desc = grpc: the client connection is closing',
      },
      "container istio-proxy ended with exit code 0 (Completed), 3 restarts: socket(2) failed, got error: Too many open files; raise the container's limit of open files (ulimit -n, which the node's container runtime sets), unless it leaks them",
    ],
    [
      'is what the sidecar lacked, not what it gave up when it was told to end',
      {
        pod: broken(waiting('PodInitializing'), crashed(0, 'Completed')),
        previousLog:
          '2026-11-23T08:28:20Z\twarning\tEnvoy proxy is NOT ready: config not received from XDS server (is Istiod running?)\n2026-11-23T08:28:21Z\twarn\tsds\tfailed to warm certificate: rpc error: code = Canceled desc = context canceled',
      },
      'container istio-proxy ended with exit code 0 (Completed), 3 restarts: it got no configuration from istiod; check that istiod runs and that the pod reaches it: Envoy proxy is NOT ready: config not received from XDS server (is Istiod running?)',
    ],
    [
      'is the limit of open files, when the application logs it above a stack trace',
      {
        pod: broken(crashed(1)),
        previousLog:
          "node:fs:621\n\nError: EMFILE: too many open files, watch '/app'\n    at Object.openSync (node:fs:621:18) {\n  errno: -24\n}\n\nNode.js v24.21.0",
      },
      "container app ended with exit code 1 (Error), 3 restarts: Error: EMFILE: too many open files, watch '/app'; raise fs.inotify.max_user_instances on the node",
    ],
    [
      'is that the pod started before the CNI plugin',
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
      'is a CNI configuration that names a missing plugin',
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
      'is that the node has no network plugin',
      {
        pod: unstarted,
        events: [{ reason: 'NetworkNotReady', message: 'network is not ready: cni plugin not initialized' }],
      },
      "the pod's network cannot be set up: network is not ready: cni plugin not initialized; the node has no CNI configuration, so check that its network plugin runs",
    ],
    [
      'is that the node has no network plugin, before the kubelet reports container statuses',
      {
        pod: pod({
          status: { phase: 'Pending', conditions: unready, initContainerStatuses: [], containerStatuses: [] },
        }),
        events: [{ reason: 'NetworkNotReady', message: 'network is not ready: cni plugin not initialized' }],
      },
      "the pod's network cannot be set up: network is not ready: cni plugin not initialized; the node has no CNI configuration, so check that its network plugin runs",
    ],
    [
      'is a failing network plugin',
      { pod: unstarted, events: [{ reason: 'FailedCreatePodSandBox', message: 'no addresses left' }] },
      "the pod's network cannot be set up: no addresses left; check the node's container runtime and CNI plugins",
    ],
    [
      'is an image pull in progress, after a network error that is over',
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
      'is no network error that is over once the images are present',
      {
        pod: unstarted,
        events: [{ reason: 'FailedCreatePodSandBox', message: 'no addresses left' }, { reason: 'Pulled' }],
      },
      'container istio-init is not ready: PodInitializing',
    ],
    [
      'is that no node has enough memory or tolerated taints',
      {
        pod: unplaced(
          '0/3 nodes are available: 1 Insufficient memory, 2 node(s) had untolerated taint(s). preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.',
        ),
      },
      'no node takes the pod: 0/3 nodes are available: 1 Insufficient memory, 2 node(s) had untolerated taint(s); free room on a node or lower the requests; or check why the node has its taint (a node that is not ready has one), or let the pod tolerate it',
    ],
    ['is an unknown message of the scheduler, unchanged', { pod: unplaced('no.') }, 'no node takes the pod: no'],
    [
      'is the crash of the application, not a volume that was missing for a moment',
      {
        pod: broken(crashed(1)),
        events: [{ reason: 'FailedMount', message: 'configmap "istio-ca-root-cert" not found' }],
        previousLog: 'Error: no DB_HOST',
      },
      'container app ended with exit code 1 (Error), 3 restarts: Error: no DB_HOST',
    ],
    [
      'is an init container of the application that does not end',
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
      'is the failing probe of the application, not the earlier startup probe of the sidecar',
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
      'is that the pod has scheduling gates',
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
      'is read from the current log when the previous log is gone',
      {
        pod: broken(crashed(1)),
        previousLog: 'unable to retrieve container logs for containerd://1',
        log: 'Error: no DB_HOST',
      },
      'container app ended with exit code 1 (Error), 3 restarts: Error: no DB_HOST',
    ],
    [
      'is the last log line of the sidecar when no known error is in its log',
      { pod: broken({}, running), log: 'hello\nbye\n' },
      'the sidecar is not ready: bye',
    ],
    [
      'is that the sidecar is not ready, without a log',
      { pod: broken({}, running) },
      'the sidecar is not ready: it logged nothing',
    ],
    [
      'is the crash of the application',
      { pod: broken(crashed(1)), log: 'the new start\n', previousLog: 'booting\nError: no DB_HOST\n' },
      'container app ended with exit code 1 (Error), 3 restarts: Error: no DB_HOST',
    ],
    [
      'is the panic of the application',
      {
        pod: broken(crashed(2)),
        previousLog: 'panic: no DB_HOST\n\ngoroutine 1 [running]:\nmain.main()\n\t/app/main.go:5 +0x1d\nexit status 2',
      },
      'container app ended with exit code 2 (Error), 3 restarts: panic: no DB_HOST',
    ],
    [
      'is that the sidecar ran out of memory',
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
      'is that the application ran out of memory',
      { pod: broken(crashed(137, 'OOMKilled')) },
      'container app ended with exit code 137 (OOMKilled), 3 restarts: it used more memory than its limit: raise the limit, or find the leak',
    ],
    [
      'is a crash of the application a moment ago',
      { pod: broken({ ready: false, state: { terminated: { exitCode: 2 } } }), log: 'usage: app\n' },
      'container app ended with exit code 2, 0 restarts: usage: app',
    ],
    [
      'is the failing readiness probe',
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
      'is the failing readiness probe, with the reason from the log',
      {
        pod: broken(running),
        events: [{ reason: 'Unhealthy', message: 'Readiness probe failed: 503' }],
        log: 'accept: too many open files',
      },
      "container app is not ready: Readiness probe failed: 503; its log says: accept: too many open files; raise the container's limit of open files (ulimit -n, which the node's container runtime sets), unless it leaks them",
    ],
    [
      'is that the container is still starting',
      { pod: broken(waiting('ContainerCreating')) },
      'container app is not ready: ContainerCreating',
    ],
    [
      'is a failing readiness probe when the container runs and no event says more',
      { pod: broken(running) },
      'container app is not ready: its readiness probe fails',
    ],
    [
      'is a readiness gate that is not met',
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
      'is a warning of the node',
      {
        pod: pod({ status: { conditions: unready } }),
        events: [{ reason: 'NodeNotReady', message: 'Node is not ready' }],
      },
      'NodeNotReady: Node is not ready',
    ],
    [
      'is a crash a minute ago of an application that runs again',
      { pod: restarted(60_000), log: 'the new start\n', previousLog: 'Error: no DB_HOST\n' },
      'container app ended with exit code 1 (Error), 1 restart: Error: no DB_HOST',
    ],
    ['is not a crash of an hour ago', { pod: restarted(3_600_000) }, 'the pod is ready'],
    ['is that the pod is ready when nothing is wrong', { pod: pod() }, 'the pod is ready'],
  ])('%s', async (_, given, cause) => {
    expect(await causeOf(clusterOf(given).cluster, given.pod)).toBe(cause)
  })

  test('comes from the events of the pod and from the previous log of the container that failed', async () => {
    const { cluster, calls } = clusterOf({ previousLog: 'Error: no DB_HOST' })
    await causeOf(cluster, broken(crashed(1)))
    expect(calls).toEqual([
      'Event shop involvedObject.name=backend-1,involvedObject.uid=uid-1',
      'log shop backend-1 app 100 previous',
    ])
  })

  test('contains what is known when the account may not read events and logs', async () => {
    const cluster = clusterWith({
      list: () => Promise.reject(new Error('forbidden')),
      log: () => Promise.reject(new Error('forbidden')),
    })
    expect(await causeOf(cluster, broken(crashed(1)))).toBe(
      'container app ended with exit code 1 (Error), 3 restarts: it logged nothing',
    )
  })
})

describe('the cause of a workload without pods', () => {
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
      'is that the injector does not answer',
      [failed('backend-5d9f', hook)],
      `no pod can be created: ${hook}; the sidecar injector does not answer, so check that istiod runs`,
    ],
    [
      "is that pod security of the namespace forbids the sidecar's rules",
      [
        failed(
          'backend-5d9f',
          'pods "backend-5d9f-x" is forbidden: violates PodSecurity "restricted:latest": unrestricted capabilities (container "istio-init" must set …)',
        ),
      ],
      'no pod can be created: pods "backend-5d9f-x" is forbidden: violates PodSecurity "restricted:latest": unrestricted capabilities (container "istio-init" must set …); the namespace\'s pod security level forbids what istio-init needs (NET_ADMIN, NET_RAW): set the label pod-security.kubernetes.io/enforce to privileged, or use the Istio CNI plugin',
    ],
    [
      'is an exhausted quota',
      [failed('backend-5d9f', 'exceeded quota')],
      "no pod can be created: exceeded quota; the sidecar's requests count as well: raise the ResourceQuota of the namespace",
    ],
    [
      'is an event of the StatefulSet itself',
      [failed('backend', 'exceeded quota', { kind: 'StatefulSet' })],
      "no pod can be created: exceeded quota; the sidecar's requests count as well: raise the ResourceQuota of the namespace",
    ],
    [
      'is no event of other workloads',
      [failed('frontend-5d9f', 'exceeded quota'), failed('backends', 'exceeded quota', { kind: 'StatefulSet' })],
      undefined,
    ],
    [
      'is no event of a workload whose name starts the same',
      [failed('backend-v2-5d9f', 'exceeded quota'), failed('backend-v2', 'exceeded quota', { kind: 'StatefulSet' })],
      undefined,
    ],
    [
      'is the newest event, whatever its place in the list and its time format',
      [
        failed('backend-5d9f', 'old', { lastTimestamp: '2026-01-01T00:00:00Z' }),
        failed('backend-7c4b', 'newest', { eventTime: '2026-01-01T00:02:00.000000Z' }),
        failed('backend-5d9f', 'newer', { lastTimestamp: '2026-01-01T00:01:00Z' }),
      ],
      'no pod can be created: newest',
    ],
    ['is unknown without events', [], undefined],
  ])('%s', async (_, events, cause) => {
    expect(await creationFailure(clusterOf({ events }).cluster, 'shop', 'backend')).toBe(cause)
  })

  test('is unknown, without an error, when the account may not read events', async () => {
    const cluster = clusterWith({ list: () => Promise.reject(new Error('forbidden')) })
    expect(await creationFailure(cluster, 'shop', 'backend')).toBeUndefined()
  })
})
