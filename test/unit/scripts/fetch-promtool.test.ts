import fs from 'node:fs/promises'
import path from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { fetchPromtool } from '../../../scripts/fetch-servers.js'
import { temporaryDir } from '../../support/own-servers.ts'

/** A folder of programs, each a line of shell, which are all that the machine has. */
async function machine(programs: Readonly<Record<string, string>>): Promise<string> {
  const dir = await temporaryDir(onTestFinished)
  for (const [name, line] of Object.entries(programs)) {
    await fs.writeFile(path.join(dir, name), `#!/bin/sh\n${line}\n`, { mode: 0o755 })
  }
  vi.stubEnv('PATH', dir)
  onTestFinished(() => void vi.unstubAllEnvs())
  return dir
}

test.each(['2.40.0', '2.42.0+ds', '3.5.0'])('promtool %s on the PATH is taken', async (version) => {
  const dir = await machine({
    promtool: `echo "promtool, version ${version} (branch: x, revision: 1.2)"`,
  })
  expect(await fetchPromtool(path.join(dir, 'cache'))).toBe('promtool')
})

test('without a usable one, and without apt, it is said what to install, and nothing is left', async () => {
  const dir = await machine({ promtool: 'echo "promtool, version 2.39.2 (branch: x)"' })
  const cache = path.join(dir, 'cache')
  const failed = fetchPromtool(cache)
  await expect(failed).rejects.toMatchObject({ code: 'FILE_MISSING' })
  await expect(failed).rejects.toThrow(/cannot run apt-get.* Install Prometheus 2\.40 or newer/)
  expect(await fs.readdir(cache)).toEqual([])
})

test('what apt downloads is unpacked, and looked at before it is kept', async () => {
  const tools = {
    'apt-get': 'echo > prometheus_1_amd64.deb',
    dpkg: '/bin/mkdir -p "$3/usr/bin"; echo "#!/bin/sh" > "$3/usr/bin/promtool"; echo "echo version $VERSION" >> "$3/usr/bin/promtool"; /bin/chmod +x "$3/usr/bin/promtool"',
  }
  const dir = await machine(tools)
  const cache = path.join(dir, 'cache')
  vi.stubEnv('VERSION', '2.1.0')
  await expect(fetchPromtool(cache)).rejects.toThrow('too old')
  vi.stubEnv('VERSION', '2.42.0')
  const found = await fetchPromtool(cache)
  expect(found).toBe(path.join(cache, 'prometheus', 'promtool'))
  expect(await fs.readdir(path.dirname(found))).toEqual(['promtool'])
})
