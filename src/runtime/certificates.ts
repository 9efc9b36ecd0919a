// The certificate authorities of the operating system, which Node.js does not use by itself and other programs do.
import tls from 'node:tls'

/**
 * All trusted certificates, as PEM: those of Node.js, of NODE_EXTRA_CA_CERTS and of the system. Undefined if the system
 * adds none.
 */
export function systemCertificates(): string | undefined {
  // Runners with an early Node.js 24 have it too; elsewhere the defaults stay.
  if (typeof tls.getCACertificates !== 'function') return undefined
  const defaults = new Set(tls.getCACertificates('default'))
  const added = tls.getCACertificates('system').filter((certificate) => !defaults.has(certificate))
  return added.length === 0 ? undefined : [...defaults, ...added].join('\n')
}
