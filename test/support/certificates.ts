import { generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto'

/** PEM. */
export interface Certificate {
  readonly certificate: string
  /** PKCS#8. */
  readonly key: string
}

interface Authority {
  readonly name: string
  readonly key: KeyObject
}

/** An authority of its own, and what it has signed: for a server at these addresses (IPv4), and for the client `CN=freshet`. */
export function certificates(addresses: readonly string[]): {
  readonly authority: string
  readonly server: Certificate
  readonly client: Certificate
} {
  const { privateKey, publicKey } = newKeys()
  const authority = { name: 'freshet test authority', key: privateKey }
  const isAuthority = extension('551d13', sequence(der(0x01, Buffer.of(0xff))))
  const names = addresses.map((address) => der(0x87, Buffer.from(address.split('.').map(Number))))
  return {
    authority: signed(authority, authority.name, publicKey, isAuthority),
    server: certificateOf(authority, 'server', extension('551d11', sequence(...names))),
    client: certificateOf(authority, 'freshet', extension('551d13', sequence())),
  }
}

function certificateOf(authority: Authority, subject: string, extensions: Buffer): Certificate {
  const { privateKey, publicKey } = newKeys()
  return {
    certificate: signed(authority, subject, publicKey, extensions),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

function newKeys() {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' })
}

/** X.509 version 3, valid from yesterday for a month. */
function signed(
  { name, key }: Authority,
  subject: string,
  publicKey: KeyObject,
  extensions: Buffer,
): string {
  const ecdsaWithSha256 = sequence(der(0x06, Buffer.from('2a8648ce3d040302', 'hex')))
  const dayMs = 86_400_000
  const content = sequence(
    der(0xa0, der(0x02, Buffer.of(2))),
    der(0x02, Buffer.concat([Buffer.of(1), randomBytes(8)])),
    ecdsaWithSha256,
    nameOf(name),
    sequence(utcTime(Date.now() - dayMs), utcTime(Date.now() + 30 * dayMs)),
    nameOf(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(extensions)),
  )
  const signature = der(0x03, Buffer.of(0), sign('sha256', content, key))
  const base64 = sequence(content, ecdsaWithSha256, signature).toString('base64')
  const lines = base64.match(/.{1,64}/g)!.join('\n')
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`
}

function extension(identifier: string, value: Buffer): Buffer {
  return sequence(der(0x06, Buffer.from(identifier, 'hex')), der(0x04, value))
}

function nameOf(commonName: string): Buffer {
  const attribute = sequence(
    der(0x06, Buffer.from('550403', 'hex')),
    der(0x0c, Buffer.from(commonName)),
  )
  return sequence(der(0x31, attribute))
}

function utcTime(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replaceAll(/[-:T]|\.\d+/g, '')
  return der(0x17, Buffer.from(digits.slice(2)))
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return der(0x30, ...parts)
}

/** Tag, length and content. */
function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts)
  const { length } = content
  const head =
    length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.of(tag, ...head), content])
}
