// `npm run setup:prometheus`: fetches promtool, which tests the rules in monitoring/, and the prometheus of the same package.
import { fetchPromtool } from './fetch-servers.js'
import { createProgress } from './progress.js'
import { cacheDir } from './set-up.js'

try {
  await createProgress().step('Prometheus', async () => {
    console.log(await fetchPromtool(cacheDir))
  })
} catch (error) {
  console.error(error.message)
  process.exit(1)
}
