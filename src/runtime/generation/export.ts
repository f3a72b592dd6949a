import { FreshetError } from '../../errors.ts'
import type { ArtifactStore } from './artifact-store.ts'
import { verifyGeneration } from './load.ts'
import type { GenerationManifest } from './manifest.ts'
import { placeOf } from './verified.ts'

/**
 * Copies a generation, every file of it checked before.
 * @param to where nothing is yet; its files come to lie at the top
 * @throws FreshetError GENERATION_INVALID, FILE_INVALID
 */
export async function exportGeneration(
  store: ArtifactStore,
  id: string,
  to: ArtifactStore,
): Promise<GenerationManifest> {
  if ((await to.list('')).length > 0) {
    throw new FreshetError(
      'USAGE_INVALID',
      'the folder is not empty: give one that is, or a new one',
    )
  }
  const manifest = await verifyGeneration(store, id)
  for (const [name, { sha256 }] of Object.entries(manifest.files)) {
    const copied = await to.put(name, [await store.get(placeOf(id, name))])
    if (copied.sha256 === sha256) continue
    throw new FreshetError('FILE_INVALID', `${name} changed while it was copied: export it again`)
  }
  await to.put('README.md', [Buffer.from(readme(id))])
  await to.put('manifest.json', [await store.get(placeOf(id, 'manifest.json'))])
  return manifest
}

/** Lines of docs/generation-format.md, which a test runs. */
const python = `import fastavro
from safetensors.numpy import load_file
ids = [each['id'] for each in fastavro.reader(open('item-ids.avro', 'rb'))]
vectors = load_file('item-vectors.safetensors')['vectors']
rows, dense = load_file('user-rows.safetensors')['rows'], load_file('dense.safetensors')`

function readme(id: string): string {
  return `# Generation ${id}

A trained two-tower of freshet: towers as ONNX, tables as safetensors, ids as Avro. Row i of a table belongs to id i; \`manifest.json\` says what
each file is. The format: docs/generation-format.md of freshet. To read it (\`pip install fastavro safetensors numpy\`):

\`\`\`python
${python}
\`\`\`

\`freshet import FOLDER\` brings it into another deployment.
`
}
