// Translates the error output of kind and the container runtime into a cause and a remedy. Pure, except that it reads
// exported logs.
import { createReadStream, globSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

type Explain = (match: RegExpExecArray, name: string) => string

const nameTaken = /node\(s\) already exist for a cluster with the name|name "[^"]*" is already in use/

/** True if kind failed because another job created a cluster of that name first. */
export function isTaken(output: string): boolean {
  return nameTaken.test(output)
}

const address = /(?:Bind for|listen tcp\d?|exposing port[^\n]*?)\s*(\S+:\d+)/
const inUse = /port is already allocated|address already in use/
const portNotAvailable = /(?:ports? (?:are|is) not available)[^\n]*?(\S+:\d+)/
const pullErrors =
  /manifest unknown|not found|no such host|timeout|i\/o timeout|connection refused|denied|unauthorized|x509[^\n]*/

/** The first match counts, so causes come before their consequences. */
const table: [RegExp, Explain][] = [
  [
    /unable to decode config: (?:yaml: )?(?:unmarshal errors:)?\s*([^]*?)(?:\n\n|$)/,
    ([, what = '']) =>
      `cluster.config: kind rejects the file: ${fields(what)}; ` +
      'use the fields of https://kind.sigs.k8s.io/docs/user/configuration',
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
    nameTaken,
    (_, name) =>
      `cluster.name: another job has just made a cluster ${name}; ` +
      'give each job on this machine a name of its own, or run this job again to use that cluster',
  ],
  [
    new RegExp(`${address.source}[^\\n]*(?:${inUse.source})|${portNotAvailable.source}`),
    ([, a, b]) =>
      `cluster.ports: ${(a ?? b ?? '').replace(/:$/, '')} is in use on this machine; ` +
      'stop what listens there (`ss -ltnp`), or give other ports: `ports: { http: 8080, https: 8443 }`',
  ],
  [
    inUse,
    () =>
      'cluster.ports: a port of this machine is in use; ' +
      'stop what listens there (`ss -ltnp`), or give other ports: `ports: { http: 8080, https: 8443 }`',
  ],
  [
    /cannot expose privileged port (\d+)|bind: permission denied|ports below (\d+)/,
    () =>
      'cluster.ports: this user may not open ports below 1024, as with a rootless runtime; ' +
      'give other ports: `ports: { http: 8080, https: 8443 }`',
  ],
  [
    /image: "([^"]*)" not present locally/,
    ([, image]) =>
      `cluster.loadImages: the image ${image} is not on this machine; ` +
      `build it or pull it in an earlier step (\`docker pull ${image}\`)`,
  ],
  [
    /content digest (sha256:\S+): not found/,
    ([, digest]) =>
      `cluster.loadImages: the runtime lacks a part of an image for several platforms (${digest}); ` +
      'save one platform of the image, and load the file: ' +
      '`docker save --platform linux/amd64 -o image.tar IMAGE`, and image.tar under loadImages',
  ],
  [
    /(?:toomanyrequests|pull rate limit)/i,
    () =>
      'cluster.image: the registry refuses more pulls from this address for now; ' +
      'log in to it in an earlier step (docker/login-action), or name an image on another registry',
  ],
  [
    new RegExp(`failed to pull image "([^"]*)"[^]*?(${pullErrors.source})`, 'i'),
    ([, image, why]) =>
      `cluster.image: the node image ${image} cannot be pulled (${why}); ` +
      'check the Kubernetes version or the image, and the network of this machine; ' +
      'or load it beforehand (`docker load`)',
  ],
  [
    /failed to pull image "([^"]*)"/,
    ([, image]) =>
      `cluster.image: the node image ${image} cannot be pulled; ` +
      'check the Kubernetes version or the image, and the network of this machine; ' +
      'or load it beforehand (`docker load`)',
  ],
  [
    /permission denied while trying to connect to the Docker daemon|dial unix [^\n]*: connect: permission denied/,
    () =>
      'cluster: this user may not use Docker (permission denied on its socket); ' +
      'add the user to the group `docker` and restart the runner',
  ],
  [
    /Cannot connect to the Docker daemon|Is the docker daemon running/,
    () => 'cluster: the Docker daemon stopped answering; start it again',
  ],
  [
    /no space left on device/,
    () =>
      'cluster: the disk is full; a cluster needs about 3 GiB for its node image and the images that it pulls; ' +
      'free some space (`docker system prune`)',
  ],
  [/too many open files|inotify/, () => tooManyFiles],
  [
    /rootless provider requires (.*?)(?:, see|\n|$)/,
    ([, what]) =>
      `cluster: the rootless runtime cannot make the nodes: it requires ${what}; ` +
      'see https://kind.sigs.k8s.io/docs/user/rootless',
  ],
  [
    /could not find a log line that matches/,
    () =>
      `cluster: a node's container started, but its system did not; ` +
      'most often this machine has too few inotify watches or instances ' +
      '(`sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512`), ' +
      'or no cgroup v2 that containers may use',
  ],
  [
    /failed to init node with kubeadm|kubelet is not (?:healthy|running)|timed out waiting for the condition/,
    () =>
      'cluster: the control plane did not start in its node; ' +
      'most often there is too little memory (a node needs about 2 GiB), or the disk is full',
  ],
  [
    /failed to join node with kubeadm/,
    () =>
      'cluster: a worker node did not start; most often there is too little memory (a node needs about 2 GiB): ' +
      'ask for fewer `nodes`',
  ],
  [
    /no nodes found for cluster|unknown cluster/,
    (_, name) => `cluster.name: the cluster ${name} no longer exists; run this job again to make it`,
  ],
]

const tooManyFiles =
  'cluster: this machine allows too few inotify watches or instances ("too many open files"); ' +
  'raise them in an earlier step: ' +
  '`sudo sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512`'

/** Explains the error, or quotes it if the table lacks it. `name`: the cluster's name. */
export function explain(command: string, output: string, name: string): string {
  for (const [pattern, sentence] of table) {
    const match = pattern.exec(output)
    if (match) return sentence(match, name)
  }
  return `cluster: \`${command}\` failed: ${lastWords(output)}`
}

/** The lines from the last ERROR on, else the last lines. */
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
      .slice(0, 600) || 'it printed nothing'
  )
}

/** kind prints one line per field: `line 3: field foo not found in type v1alpha4.Cluster`. */
function fields(what: string): string {
  return what
    .split('\n')
    .map((line) => line.trim().replace(/field (\S+) not found in type v1alpha4\.(\S+)/, 'unknown field `$1` in a $2'))
    .filter(Boolean)
    .join(', ')
}

/** Lines in the nodes' logs that show a cause which kind's output does not mention. */
const traces: [RegExp, string][] = [
  [/too many open files|inotify_init1?|no space left on device.*inotify/, tooManyFiles],
  [
    /no space left on device/,
    'cluster: the disk is full, as the logs of a node say; free some space (`docker system prune`)',
  ],
  [
    /Out of memory|oom-kill|cannot allocate memory/,
    'cluster: a node has run out of memory, as its logs say; ' +
      'a node needs about 2 GiB: ask for fewer `nodes`, or use a larger machine',
  ],
]

/** The first known cause in the exported logs. */
export async function causeInLogs(folder: string): Promise<string | undefined> {
  for (const file of globSync('**/*.{log,txt}', { cwd: folder })) {
    for await (const line of createInterface({ input: createReadStream(join(folder, file)) })) {
      const found = traces.find(([pattern]) => pattern.test(line))
      if (found) return found[1]
    }
  }
  return undefined
}
