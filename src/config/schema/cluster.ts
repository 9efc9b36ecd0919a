// The section `cluster`: a kind cluster to create and use.
import * as z from 'zod'
import { duration } from '../values/durations.ts'
import { clusterName, exactVersion, kubernetesVersion } from '../values/kubernetes.ts'
import { strings } from '../values/lists.ts'
import { port, wholeNumber } from '../values/numbers.ts'
import { withShortForm } from '../values/short-form.ts'
import { boolean, nonEmptyString, sha256, url, oneOf } from '../values/strings.ts'

/** What holds where the section and kind's own configuration leave something open. */
export const clusterDefaults = { name: 'mesh-canary', nodes: 1, ports: { http: 80, https: 443 } } as const

const defaultKindVersion = '0.33.0'

const section = z.strictObject({
  type: oneOf('kind').describe('Type of the cluster. `cluster: kind` is short for `cluster: { type: kind }`.'),
  name: clusterName
    .optional()
    .describe(
      'Name of the cluster. A cluster with this name is used as it is. ' +
        `Default: the name in \`config\`, otherwise \`${clusterDefaults.name}\`.`,
    ),
  version: exactVersion('kind', defaultKindVersion).prefault(defaultKindVersion).describe('Exact version of kind.'),
  mirror: url
    .prefault('https://github.com/kubernetes-sigs/kind/releases/download')
    .describe('Where to download kind from, in the layout of the official releases.'),
  sha256: sha256
    .optional()
    .describe("sha256 checksum of kind for this runner's platform. Default: the checksum that the release publishes."),
  config: nonEmptyString
    .optional()
    .describe(
      'Path of a kind configuration file to use as it is. ' +
        'For an ingress address, map the node ports 30080 (HTTP) and 30443 (HTTPS) in it.',
    ),
  nodes: wholeNumber(1, 20)
    .optional()
    .describe(`Number of nodes: one control plane, the others workers. Default: ${clusterDefaults.nodes}.`),
  image: nonEmptyString.optional().describe('Image of the nodes. Default: the image for `kubernetes`.'),
  kubernetes: kubernetesVersion
    .optional()
    .describe('Kubernetes version: `1.36`, or exact. Default: the newest that the Istio version supports.'),
  ports: z
    .strictObject({
      http: port.prefault(clusterDefaults.ports.http).describe('Port for HTTP.'),
      https: port.prefault(clusterDefaults.ports.https).describe('Port for HTTPS.'),
    })
    .optional()
    .describe(
      'Ports of this machine, on 127.0.0.1, that lead to the ingress gateway. ' +
        `Default: ${clusterDefaults.ports.http} and ${clusterDefaults.ports.https}.`,
    ),
  loadImages: strings
    .optional()
    .describe('Images on this machine to load into the nodes: names, or archives (`.tar`) from `docker save`.'),
  wait: duration.prefault('5m').describe('Time limit for the nodes to become ready.'),
  keep: boolean
    .optional()
    .describe(
      'Keeps the cluster at the end of the job. Default: a cluster that this run created is deleted, ' +
        'an existing one stays.',
    ),
  logs: nonEmptyString
    .optional()
    .describe("Folder for the nodes' logs if the run fails. Default: a folder in the runner's temporary folder."),
})

export const cluster = withShortForm(section, oneOf('kind'), (type) => section.parse({ type }))
