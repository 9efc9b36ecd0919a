// What kind and the container runtime say when they fail → what it means here and what to do. Pure but for reading exported logs.
import { createReadStream, globSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

type Explain = (match: RegExpExecArray, name: string) => string

const taken = /node\(s\) already exist for a cluster with the name|name "[^"]*" is already in use/

/** Whether it failed because somebody else has made a cluster of that name. */
export function isTaken(output: string): boolean {
  return taken.test(output)
}

/** The first that fits counts: causes before what they lead to. */
const table: [RegExp, Explain][] = [
  [
    /unable to decode config: (?:yaml: )?(?:unmarshal errors:)?\s*([^]*?)(?:\n\n|$)/,
    ([, what = '']) =>
      `cluster.config: kind does not take the file: ${fields(what)}; the fields are those of https://kind.sigs.k8s.io/docs/user/configuration`,
  ],
  [
    /unknown apiVersion: (\S*)/,
    ([, version]) =>
      `cluster.config: kind does not know the apiVersion ${version || '(none)'}; make it kind.x-k8s.io/v1alpha4`,
  ],
  [
    /unknown kind (\S*) for apiVersion/,
    ([, kind]) => `cluster.config: kind does not know the kind ${kind || '(none)'}; make it \`kind: Cluster\``,
  ],
  [
    /could not determine kind \/ apiVersion for config: (.*)/,
    ([, why]) => `cluster.config: the file is not valid YAML: ${why}`,
  ],
  [/error reading file: (.*)/, ([, why]) => `cluster.config: the file cannot be read: ${why}`],
  [
    taken,
    (_, name) =>
      `cluster.name: somebody else has made a cluster ${name} in the same moment; give each job on this machine a name of its own, or run the job again to use that one`,
  ],
  [
    /(?:Bind for|listen tcp\d?|exposing port[^\n]*?)\s*(\S+:\d+)[^\n]*(?:port is already allocated|address already in use)|(?:ports? (?:are|is) not available)[^\n]*?(\S+:\d+)/,
    ([, a, b]) =>
      `cluster.ports: ${(a ?? b ?? '').replace(/:$/, '')} is in use on this machine; stop what listens there (\`ss -ltnp\`), or give other ports: \`ports: { http: 8080, https: 8443 }\``,
  ],
  [
    /port is already allocated|address already in use/,
    () =>
      'cluster.ports: a port of this machine is in use; stop what listens there (`ss -ltnp`), or give other ports: `ports: { http: 8080, https: 8443 }`',
  ],
  [
    /cannot expose privileged port (\d+)|bind: permission denied|ports below (\d+)/,
    () =>
      'cluster.ports: this user may not open ports below 1024, as with a runtime that is not run by root; give others: `ports: { http: 8080, https: 8443 }`',
  ],
  [
    /image: "([^"]*)" not present locally/,
    ([, image]) =>
      `cluster.loadImages: the image ${image} is not on this machine; build it or pull it in an earlier step (\`docker pull ${image}\`)`,
  ],
  [
    /content digest (sha256:\S+): not found/,
    ([, digest]) =>
      `cluster.loadImages: the runtime holds an image for several platforms of which not all parts are there (${digest}); save the one that is needed and load the file: \`docker save --platform linux/amd64 -o image.tar IMAGE\`, and image.tar under loadImages`,
  ],
  [
    /(?:toomanyrequests|pull rate limit)/i,
    () =>
      'cluster.image: the registry refuses more pulls from this address for now; log in to it in an earlier step (docker/login-action), or name an image on another registry',
  ],
  [
    /failed to pull image "([^"]*)"[^]*?(manifest unknown|not found|no such host|timeout|i\/o timeout|connection refused|denied|unauthorized|x509[^\n]*)/i,
    ([, image, why]) =>
      `cluster.image: the node image ${image} cannot be pulled (${why}); check the Kubernetes version or the image, and the network of this machine; or load it beforehand (\`docker load\`)`,
  ],
  [
    /failed to pull image "([^"]*)"/,
    ([, image]) =>
      `cluster.image: the node image ${image} cannot be pulled; check the Kubernetes version or the image, and the network of this machine; or load it beforehand (\`docker load\`)`,
  ],
  [
    /permission denied while trying to connect to the Docker daemon|dial unix [^\n]*: connect: permission denied/,
    () =>
      'cluster: this user may not use Docker (permission denied on its socket); add the user to the group `docker` and start the runner anew',
  ],
  [
    /Cannot connect to the Docker daemon|Is the docker daemon running/,
    () => 'cluster: Docker has gone away: its daemon does not answer any more; start it again',
  ],
  [
    /no space left on device/,
    () =>
      'cluster: the disk is full; a cluster takes some 3 GiB for its node image and what it pulls: free some (`docker system prune`)',
  ],
  [/too many open files|inotify/, () => tooManyFiles],
  [
    /rootless provider requires (.*?)(?:, see|\n|$)/,
    ([, what]) =>
      `cluster: a runtime that is not run by root cannot make the nodes: it requires ${what}; see https://kind.sigs.k8s.io/docs/user/rootless`,
  ],
  [
    /could not find a log line that matches/,
    () =>
      `cluster: a node's container started, but its system did not come up; most often this machine has too few inotify watches or instances (\`sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512\`), or no cgroup v2 that containers may use`,
  ],
  [
    /failed to init node with kubeadm|kubelet is not (?:healthy|running)|timed out waiting for the condition/,
    () =>
      'cluster: the control plane did not come up in its node; most often there is too little memory (a node takes some 2 GiB), or the disk is full',
  ],
  [
    /failed to join node with kubeadm/,
    () =>
      'cluster: a worker did not come up; most often there is too little memory (a node takes some 2 GiB): ask for fewer `nodes`',
  ],
  [/no nodes found for cluster|unknown cluster/, (_, name) => `cluster.name: there is no cluster ${name} any more`],
]

const tooManyFiles =
  'cluster: this machine allows too few inotify watches or instances ("too many open files"); raise them before the cluster is made: `sudo sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512`'

/** kind's own words where the table lacks them. `name`: of the cluster. */
export function explain(command: string, output: string, name: string): string {
  for (const [pattern, sentence] of table) {
    const match = pattern.exec(output)
    if (match) return sentence(match, name)
  }
  return `cluster: \`${command}\` failed: ${lastWords(output)}`
}

/** What stands after ERROR, else the last lines. */
function lastWords(output: string): string {
  const lines = output
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean)
  const from = lines.findLastIndex((line) => line.startsWith('ERROR:'))
  return (
    (from < 0 ? lines.slice(-3) : lines.slice(from, from + 4))
      .join(' ')
      .replace(/^ERROR: /, '')
      .slice(0, 600) || 'it said nothing'
  )
}

/** `line 3: field foo not found in type v1alpha4.Cluster`, a line for each. */
function fields(what: string): string {
  return what
    .split('\n')
    .map((line) =>
      line.trim().replace(/field (\S+) not found in type v1alpha4\.(\S+)/, 'the field `$1` is not known in a $2'),
    )
    .filter(Boolean)
    .join(', ')
}

/** Lines in the logs of nodes that name a cause which kind's own words do not. */
const traces: [RegExp, string][] = [
  [/too many open files|inotify_init1?|no space left on device.*inotify/, tooManyFiles],
  [
    /no space left on device/,
    'cluster: the disk is full, as the logs of a node say; free some (`docker system prune`)',
  ],
  [
    /Out of memory|oom-kill|cannot allocate memory/,
    'cluster: a node has run out of memory, as its logs say; a node takes some 2 GiB: ask for fewer `nodes`, or take a larger machine',
  ],
]

/** The cause that stands in exported logs, if one of those that are known does. */
export async function causeInLogs(folder: string): Promise<string | undefined> {
  for (const file of globSync('**/*.{log,txt}', { cwd: folder })) {
    for await (const line of createInterface({ input: createReadStream(join(folder, file)) })) {
      const found = traces.find(([pattern]) => pattern.test(line))
      if (found) return found[1]
    }
  }
  return undefined
}
