// Why a TLS connection failed, by the code of Node.js's error, and what to do about it. Pure.

export type Fault = { cause: string; remedy: string }

const untrusted = [
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_SIGNATURE_FAILURE',
  'CERT_UNTRUSTED',
]

/** `trust`: where a CA for this server is set. Undefined if the error does not concern TLS. */
export function tlsFault(error: NodeJS.ErrnoException, trust: string): Fault | undefined {
  const { code = '', message } = error
  if (untrusted.includes(code))
    return {
      cause: `its certificate is signed by a CA that is not trusted (${code})`,
      remedy: `${trust}; a proxy that inspects TLS signs with a CA of its own`,
    }
  if (code === 'CERT_HAS_EXPIRED')
    return { cause: 'its certificate has expired (CERT_HAS_EXPIRED)', remedy: 'renew the certificate of the server' }
  if (code === 'CERT_NOT_YET_VALID')
    return {
      cause: 'its certificate is not valid yet (CERT_NOT_YET_VALID)',
      remedy: 'check the clock of this machine',
    }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return { cause: `its certificate is for another name: ${message}`, remedy: 'use a name that the certificate holds' }
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG')
    return { cause: `it does not answer with TLS (${code})`, remedy: 'check whether the address is one of http' }
  return undefined
}
