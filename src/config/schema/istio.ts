// The section `istio`: which control plane to install, and how.
import * as z from 'zod'
import { isMap } from '../../runtime/is-map.ts'
import { defaultVersion, versionForm, versionIn, versionSpec } from '../istio-version.ts'
import { duration } from '../values/durations.ts'
import { objectName } from '../values/kubernetes.ts'
import { strings } from '../values/lists.ts'
import { parsedValue } from '../values/parsed-value.ts'
import { publicValue } from '../values/public-value.ts'
import { boolean, filePath, nonEmptyString, sha256, url } from '../values/strings.ts'
import { pullPolicy } from './parts.ts'

/** What istioctl itself uses if nobody names a registry or a profile. */
export const istioDefaults = { hub: 'docker.io/istio', profile: 'default' } as const

const version = parsedValue(
  `${versionForm} (quote it in YAML)`,
  { ...publicValue, type: 'string', default: defaultVersion },
  versionSpec,
)

/** `--set` values: `key=value` lines, or a map of the same. */
const setValues = z
  .unknown()
  .meta({ type: ['array', 'object', 'string'] })
  .transform((raw, context): string[] => {
    const pairs = keyValuePairs(raw)
    const invalid = pairs.find((pair) => !/^[^=\s]+=/.test(pair))
    if (invalid === undefined) return pairs
    context.issues.push({ code: 'custom', message: 'expected key=value, one per line', input: invalid })
    return z.NEVER
  })

function keyValuePairs(raw: unknown): string[] {
  if (typeof raw === 'string')
    return raw
      .split('\n')
      .map((line) => line.trim())
      .filter(Boolean)
  if (Array.isArray(raw)) return raw.map(String)
  return isMap(raw) ? Object.entries(raw).map(([key, value]) => `${key}=${String(value)}`) : ['']
}

const keys = z.strictObject({
  version: version
    .optional()
    .describe(
      'Istio version: exact, `1.31`, `1.31.x`, a range such as `>=1.30 <1.32`, or `latest`. ' +
        'A prerelease is used only if you name one.',
    ),
  versionFile: filePath
    .optional()
    .describe(
      "File to read the version from: a file with only the version, asdf's `.tool-versions`, or mise's `mise.toml`.",
    ),
  checkLatest: boolean
    .prefault(false)
    .describe('Looks for the newest matching release, even if the installed mesh or the tool cache already matches.'),
  profile: nonEmptyString
    .meta(publicValue)
    .optional()
    .describe(
      'istioctl installation profile: `default`, `demo`, `minimal`, … ' +
        `Default: the profile of the overlays, otherwise \`${istioDefaults.profile}\`. \`ambient\` is not supported.`,
    ),
  revision: objectName
    .optional()
    .describe(
      'Revision of the control plane. A new revision is installed next to the existing ones. ' +
        'The namespace moves to it: it gets the label `istio.io/rev`, and its workloads restart in order. ' +
        '`default` is the unnamed revision.',
    ),
  tag: objectName
    .optional()
    .describe(
      'Revision tag, such as `prod`. The tag is pointed to `revision`, and the namespace is labelled with the tag. ' +
        'Other namespaces with this label follow when their pods restart.',
    ),
  removeOld: boolean
    .prefault(false)
    .describe(
      'Removes older control planes of other revisions once no pod has their sidecar ' +
        'and no namespace or tag points to them. Otherwise the report lists them and they stay.',
    ),
  takeOver: boolean
    .prefault(false)
    .describe(
      'Changes or removes a control plane even if somebody else installed it (Helm, an operator, istioctl). Without ' +
        'it, such a control plane is used unchanged if it is as configured, and the run fails if it is not.',
    ),
  hub: nonEmptyString
    .optional()
    .describe(
      'Registry and path of the Istio images. ' +
        `Default: the hub of \`set\` or of the overlays, otherwise \`${istioDefaults.hub}\`.`,
    ),
  imagePullPolicy: pullPolicy
    .optional()
    .describe(
      'When nodes pull the images of the control plane and the sidecars. With `Never`, every node must already have ' +
        'them; this is checked before the installation.',
    ),
  pullSecrets: strings
    .optional()
    .describe('Names of the Secrets for pulling these images, in the namespaces that pull them.'),
  set: setValues.prefault([]).describe('Values for `istioctl install --set`: `key=value`, one per line.'),
  overlays: strings.optional().describe('IstioOperator files for `istioctl install -f`, in order.'),
  mirror: url
    .prefault('https://github.com/istio/istio/releases/download')
    .describe(
      'Where to download istioctl from, in the layout of the official releases. The list of versions comes from its ' +
        '`index.json` or its folder listing; for GitHub, from the API.',
    ),
  sha256: sha256
    .optional()
    .describe(
      "sha256 checksum of the istioctl download for this runner's platform. Needs an exact version. " +
        'Default: the checksum that the release publishes.',
    ),
  suppress: strings
    .optional()
    .describe(
      'Message codes of `istioctl analyze` and `istioctl x precheck` to ignore, such as `IST0118`. ' +
        'They neither stop the run nor cause a warning.',
    ),
  timeout: duration.prefault('5m').describe('Time limit for the control plane to become ready.'),
})

/** `versionFile` is read here: the program sees only `version`. */
export const istio = keys.transform(({ versionFile, version, ...rest }, context) => {
  const found = chooseVersion(version, versionFile)
  if ('version' in found) return { ...rest, version: found.version }
  context.issues.push({ code: 'custom', path: ['versionFile'], message: found.fault, input: versionFile })
  return z.NEVER
})

function chooseVersion(
  version: string | undefined,
  versionFile: string | undefined,
): { version: string } | { fault: string } {
  if (versionFile === undefined) return { version: version ?? defaultVersion }
  if (version === undefined) return versionIn(versionFile)
  return { fault: `\`version\` (${version}) is given as well; remove one of the two` }
}
