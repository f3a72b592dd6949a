import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import { FreshetError, messageOf } from '../errors.ts'

/** What TLS is told of certificates, as PEM. */
export interface TlsFiles {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
}

export interface TlsFileNames {
  readonly caFile?: string | undefined
  readonly certFile?: string | undefined
  readonly keyFile?: string | undefined
}

/**
 * Reads what the settings under `path` name. Node itself takes an authority that is none, and says so only as a server that cannot be
 * verified.
 * @param path e.g. `kafka.tls`
 * @throws FreshetError FILE_MISSING, FILE_INVALID naming setting and file; CONFIG_INVALID for a certificate without its key
 */
export function readTlsFiles(path: string, { caFile, certFile, keyFile }: TlsFileNames): TlsFiles {
  if ((certFile === undefined) !== (keyFile === undefined)) {
    const missing = certFile === undefined ? 'certFile' : 'keyFile'
    const why = `${path}.${missing} is missing: a certificate and its key belong together`
    throw new FreshetError('CONFIG_INVALID', why)
  }
  const certificate = 'a certificate as PEM'
  const isCertificate = (pem: string): unknown => new X509Certificate(pem)
  const ca = readPem(`${path}.caFile`, caFile, certificate, isCertificate)
  const cert = readPem(`${path}.certFile`, certFile, certificate, isCertificate)
  const key = readPem(`${path}.keyFile`, keyFile, 'a private key as PEM', (pem) =>
    createPrivateKey(pem),
  )
  try {
    createSecureContext({ cert, key })
  } catch (cause) {
    const why = `${path}.keyFile ${keyFile} is not the key of ${certFile}: ${messageOf(cause)}`
    throw new FreshetError('FILE_INVALID', why, { cause })
  }
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  }
}

function readPem(
  setting: string,
  file: string | undefined,
  what: string,
  parse: (pem: string) => unknown,
): string | undefined {
  if (file === undefined) return undefined
  let pem: string
  try {
    pem = readFileSync(file, 'utf8')
  } catch (cause) {
    const why = `${setting} ${file} cannot be read: ${messageOf(cause)}`
    throw new FreshetError('FILE_MISSING', why, { cause })
  }
  try {
    parse(pem)
  } catch (cause) {
    const why = `${setting} ${file} does not hold ${what}: ${messageOf(cause)}`
    throw new FreshetError('FILE_INVALID', why, { cause })
  }
  return pem
}
