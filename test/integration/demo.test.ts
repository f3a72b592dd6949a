import { mkdir, readdir, symlink } from 'node:fs/promises'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { cacheDir, temporaryDir } from '../support/own-servers.ts'
import { runCommand } from '../support/role-process.ts'

test('a day in a time-lapse, a generation, and a click that recall knows', async () => {
  const dir = await temporaryDir(onTestFinished)
  const temporary = path.join(dir, 'tmp')
  await mkdir(temporary)
  await mkdir(path.join(dir, '.freshet'))
  await symlink(cacheDir, path.join(dir, '.freshet', 'cache'))
  const { code, stdout, stderr } = await runCommand(['demo', '--days', '1', '--exit'], {
    ...{ dir, env: { TMPDIR: temporary }, timeoutMs: 240_000 },
  })
  expect(stderr).toBe('')
  expect(code).toBe(0)
  expect(stdout).toMatch(
    /recall@50 0\.[0-9]{3}; full update .* generation full-[0-9-]+-[0-9a-f]{8} live/,
  )
  expect(stdout).toMatch(/user 42 clicked .+ at .+; its recall changed at .+ \([0-9.]+ s\)/)
  expect(await readdir(temporary)).toEqual([])
})
