import fs from 'node:fs'
import { tensorflowHome } from '../../scripts/tensorflow.js'

/** `npm test` sets it up where it can be had, `npm run setup:tensorflow` by hand; tests that need it are skipped elsewhere. */
export const hasTensorflow = fs.existsSync(tensorflowHome)
