// Chooses the node image: for the Kubernetes version of the config, or the newest one that Istio supports. Pure.
import { gte, lte, rcompare } from 'semver'
import { ConfigError } from '../config/error.ts'

/** Minor versions of Kubernetes such as 1.32, both ends included. */
type Range = { oldest: string; newest: string }

/**
 * From kind's release notes: kind release → Kubernetes version → sha256 of the image. Later releases of kind run older
 * images too.
 */
const builtFor: Record<string, Record<string, string>> = {
  '0.33.0': {
    '1.37.0': 'a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5',
    '1.36.4': '099e049362a1526b2db71494e1947aae99bd16290d7c895f2b7ea312e3cbfaed',
    '1.35.8': '07b2536e30b803ed61d1677a79df6115f798ce64c80f9e22f6ed45afd09323c0',
    '1.34.11': '44e222ee2132dab25ff87301682f89eb82c7880ea3a1bf543bfe9708fd08d67d',
  },
  '0.32.0': {
    '1.36.1': '3489c7674813ba5d8b1a9977baea8a6e553784dab7b84759d1014dbd78f7ebd5',
    '1.35.5': 'ce977ae6d65918d0b58a5f8b5e940429c2ce42fa3a5619ec2bbc60b949c0ac95',
    '1.34.8': '02722c2dedddcfc00febf5d27fbeb9b7b2c14294c82109ff4a85d89ac9ba3256',
    '1.33.12': '3f5c8443c620245e4d355cfe09e96a91ead32ceaa569d3f1ca9edf0cb2fe2ff4',
  },
  '0.31.0': {
    '1.35.0': '452d707d4862f52530247495d180205e029056831160e22870e37e3f6c1ac31f',
    '1.34.3': '08497ee19eace7b4b5348db5c6a1591d7752b164530a36f855cb0f2bdcbadd48',
    '1.33.7': 'd26ef333bdb2cbe9862a0f7c3803ecc7b4303d8cea8e814b481b09949d353040',
    '1.32.11': '5fc52d52a7b9574015299724bd68f183702956aa4a2116ae75a63cb574b35af8',
    '1.31.14': '6f86cf509dbb42767b6e79debc3f2c32e4ee01386f0489b3b2be24b0a55aac2b',
  },
  '0.30.0': {
    '1.34.0': '7416a61b42b1662ca6ca89f02028ac133a309a2a30ba309614e8ec94d976dc5a',
    '1.33.4': '25a6018e48dfcaee478f4a59af81157a437f15e6e140bf103f85a2e7cd0cbbf2',
    '1.32.8': 'abd489f042d2b644e2d033f5c2d900bc707798d075e8186cb65e3f1367a9d5a1',
    '1.31.12': '0f5cc49c5e73c0c2bb6e2df56e7df189240d83cf94edfa30946482eb08ec57d2',
  },
}

/**
 * `kubernetes`: a minor version such as 1.36, or an exact one; without it, the newest `supported` one is used. Without
 * both, returns undefined: kind chooses.
 * @throws ConfigError if no known image fits.
 */
export function nodeImage(
  kind: string,
  kubernetes: string | undefined,
  supported: Range | undefined,
): string | undefined {
  const known = imagesFor(kind)
  if (kubernetes === undefined) {
    if (!supported) return undefined
    const fit = known.find(([version]) => isWithin(version, supported))
    if (fit) return reference(fit)
    throw new ConfigError(
      `cluster.version: kind ${kind} has no known node image with a Kubernetes that this Istio supports ` +
        `(${supported.oldest} to ${supported.newest}); ` +
        'give a newer version of kind, or the image as `cluster.image`',
    )
  }
  const isExact = kubernetes.split('.').length === 3
  const found = known.find(([version]) => version === kubernetes || version.startsWith(`${kubernetes}.`))
  if (found) return reference(found)
  if (isExact) return `kindest/node:v${kubernetes}`
  throw new ConfigError(
    `cluster.kubernetes: kind ${kind} has no known node image of Kubernetes ${kubernetes}, ` +
      `only of ${[...new Set(known.map(([version]) => minorOf(version)))].join(', ')}; ` +
      `give one of these, an exact version such as ${kubernetes}.1, or the image as \`cluster.image\``,
  )
}

/** The images of this release first, then those of earlier releases. */
function imagesFor(kind: string): [version: string, digest: string][] {
  const releases = Object.keys(builtFor)
    .filter((release) => lte(release, kind))
    .sort(rcompare)
  return releases.flatMap((release) => Object.entries(builtFor[release]!))
}

function reference([version, digest]: [string, string]): string {
  return `kindest/node:v${version}@sha256:${digest}`
}

function isWithin(version: string, { oldest, newest }: Range): boolean {
  const minor = `${minorOf(version)}.0`
  return gte(minor, `${oldest}.0`) && lte(minor, `${newest}.0`)
}

function minorOf(version: string): string {
  return version.split('.').slice(0, 2).join('.')
}

/** The Kubernetes version in an image's tag: `1.36.4` for `kindest/node:v1.36.4@sha256:…`. */
export function kubernetesOf(image: string): string | undefined {
  return /:v(\d+\.\d+\.\d+)[^/]*$/.exec(image)?.[1]
}
