import fs from 'node:fs/promises'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Tokens } from '../../../../src/runtime/gateway/tokens.ts'
import { temporaryDir } from '../../../support/own-servers.ts'

const [first, second] = ['first-token-0123456789', 'second-token-0123456789==']

async function tokenFile(text: string, mode = 0o600): Promise<string> {
  const file = path.join(await temporaryDir(onTestFinished), 'tokens')
  await fs.writeFile(file, text)
  await fs.chmod(file, mode)
  return file
}

test('any of the tokens is let in, and nothing else', async () => {
  const tokens = await Tokens.open(await tokenFile(`${first}\n\n  ${second}  \n`))
  for (const header of [`Bearer ${first}`, `bearer  ${second}`])
    expect(tokens.allows(header), header).toBe(true)
  const wrong = [undefined, '', 'Bearer', 'Bearer ', first, `Basic ${first}`, `Bearer ${first}x`]
  for (const header of [...wrong, `Bearer ${first} ${second}`, 'Bearer \n'])
    expect(tokens.allows(header), header).toBe(false)
})

test('without a file everybody is', async () => {
  const tokens = await Tokens.open(null)
  expect(tokens.allows(undefined)).toBe(true)
  expect(await tokens.refresh()).toBe(false)
})

test('a file that changes is taken over; one that is broken leaves the tokens in force', async () => {
  const file = await tokenFile(first)
  const tokens = await Tokens.open(file)
  expect(await tokens.refresh()).toBe(false)
  await fs.writeFile(file, second)
  expect(await tokens.refresh()).toBe(true)
  expect([first, second].map((token) => tokens.allows(`Bearer ${token}`))).toEqual([false, true])
  await fs.writeFile(file, '')
  await expect(tokens.refresh()).rejects.toMatchObject({ code: 'FILE_INVALID' })
  await fs.rm(file)
  await expect(tokens.refresh()).rejects.toMatchObject({ code: 'FILE_MISSING' })
  expect(tokens.allows(`Bearer ${second}`)).toBe(true)
})

test.each([
  ['empty', '\n \n', 0o600, 'it is empty'],
  ['readable for everybody', first, 0o644, 'chmod 600'],
  ['writable for its group', first, 0o620, 'mode 620'],
  ['with a short token', `${first}\nshort\n`, 0o600, 'line 2 is no token'],
  ['with a token of two words', `${first} ${second}`, 0o600, 'line 1 is no token'],
])('a file %s is refused', async (_, text, mode, why) => {
  const file = await tokenFile(text, mode)
  await expect(Tokens.open(file)).rejects.toMatchObject({
    ...{ code: 'FILE_INVALID', message: expect.stringContaining(why) as unknown },
  })
  await expect(Tokens.open(file)).rejects.toThrow(`gateway.tokenFile: ${file}: `)
})

test('the group may read, as secrets that are mounted let it', async () => {
  expect((await Tokens.open(await tokenFile(first, 0o640))).allows(`Bearer ${first}`)).toBe(true)
})

test('a file that is missing is named, with how to make one', async () => {
  const missing = path.join(await temporaryDir(onTestFinished), 'none')
  await expect(Tokens.open(missing)).rejects.toMatchObject({ code: 'FILE_MISSING' })
  await expect(Tokens.open(missing)).rejects.toThrow(`openssl rand -hex 32 > ${missing}`)
})
