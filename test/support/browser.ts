import fs from 'node:fs'
import { chromium, type Browser } from 'playwright-core'
import type { OnEnd } from './own-servers.ts'

const executablePath = process.env['CHROMIUM'] ?? '/usr/bin/chromium'

/** Without what it would ask of the network by itself. */
const args = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** @throws Error that says how to get one, where there is none */
export async function openBrowser(onEnd: OnEnd): Promise<Browser> {
  if (!fs.existsSync(executablePath)) {
    throw new Error(
      `there is no browser at ${executablePath}: apt-get install -y --no-install-recommends chromium, or name one in CHROMIUM`,
    )
  }
  const browser = await chromium.launch({ executablePath, args })
  onEnd(() => browser.close())
  return browser
}
