import fs from 'node:fs/promises'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { readTlsFiles } from '../../../src/runtime/tls-files.ts'
import { certificates } from '../../support/certificates.ts'
import { temporaryDir } from '../../support/own-servers.ts'

async function written() {
  const { authority, server, client } = certificates(['127.0.0.1'])
  const dir = await temporaryDir(onTestFinished)
  const write = async (name: string, text: string): Promise<string> => {
    const file = path.join(dir, name)
    await fs.writeFile(file, text)
    return file
  }
  return {
    ...{ authority, client, dir },
    caFile: await write('ca.pem', authority),
    certFile: await write('client.pem', client.certificate),
    keyFile: await write('client.key', client.key),
    otherKey: await write('other.key', server.key),
    empty: await write('empty.pem', ''),
  }
}

test('what the settings name is read: an authority alone, a certificate with its key, nothing', async () => {
  const { authority, client, caFile, certFile, keyFile } = await written()
  expect(readTlsFiles('redis', { caFile })).toEqual({ ca: authority })
  const all = { ca: authority, cert: client.certificate, key: client.key }
  expect(readTlsFiles('kafka.tls', { caFile, certFile, keyFile })).toEqual(all)
  expect(readTlsFiles('kafka.tls', {})).toEqual({})
})

test('a file that is missing, holds something else or does not fit is named with its setting', async () => {
  const { dir, caFile, certFile, keyFile, otherKey, empty } = await written()
  const read = (names: Parameters<typeof readTlsFiles>[1]) => () => readTlsFiles('kafka.tls', names)
  const absent = path.join(dir, 'absent.pem')
  for (const [names, code, message] of [
    [{ caFile: absent }, 'FILE_MISSING', `kafka.tls.caFile ${absent} cannot be read: ENOENT`],
    [{ caFile: keyFile }, 'FILE_INVALID', 'client.key does not hold a certificate as PEM'],
    [{ caFile: empty }, 'FILE_INVALID', 'empty.pem does not hold a certificate as PEM'],
    [{ caFile, certFile }, 'CONFIG_INVALID', 'kafka.tls.keyFile is missing'],
    [{ caFile, keyFile }, 'CONFIG_INVALID', 'kafka.tls.certFile is missing'],
    [{ certFile, keyFile: certFile }, 'FILE_INVALID', 'client.pem does not hold a private key'],
    [{ certFile, keyFile: otherKey }, 'FILE_INVALID', `is not the key of ${certFile}`],
  ] as const) {
    const expected = { code, message: expect.stringContaining(message) as string }
    expect(read(names)).toThrow(expect.objectContaining(expected) as Error)
  }
})
