// `npm run setup:tensorflow`: what `model.engine: tfjs` needs. 850 MB under .freshet/cache, once.
import { createProgress } from './progress.js'
import { setUpTensorflow, tensorflowHome } from './tensorflow.js'

try {
  await createProgress().step('TensorFlow', () => setUpTensorflow())
  console.log(`TensorFlow is in ${tensorflowHome}; choose it with \`model.engine: tfjs\`.`)
} catch (error) {
  console.error(`TensorFlow cannot be set up: ${error.message}`)
  process.exit(1)
}
