// `npm run setup:index`: compiles the vector index that catalogues above index.exactItemsMax are searched with.
import { createProgress } from './progress.js'
import { buildIndexEngine } from './set-up.js'

try {
  await buildIndexEngine(createProgress())
} catch (error) {
  console.error(error.message)
  console.error('It needs Python 3, make and a C++ compiler.')
  process.exit(1)
}
