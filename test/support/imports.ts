import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import type { Side } from '../../src/model/spec.ts'
import { encodeSafetensors, parseSafetensors } from '../../src/records/safetensors.ts'
import type { Tensor } from '../../src/records/safetensors.ts'
import { openDirectoryStore } from '../../src/runtime/generation/artifact-store.ts'
import { importGeneration } from '../../src/runtime/generation/import.ts'
import type { ImportOptions } from '../../src/runtime/generation/import.ts'
import type { OnEnd } from './own-servers.ts'

const folder = path.resolve(import.meta.dirname, '../fixtures/pytorch')
export const fixtures = {
  folder,
  generation: path.join(folder, 'generation'),
  opaque: path.join(folder, 'opaque'),
} as const
export const importOptions: ImportOptions = {
  ...{ id: null, day: null, rowNormMax: 10, nowMs: 1_000 },
  features: { user: [], item: ['genres', 'year'] },
}

interface ManifestJson {
  readonly model: { readonly item: { readonly features: { name: string }[] } }
}

export type OpaqueFile = `${Side}-tower${'' | '-gradient'}.onnx`

export const opaqueFiles = [
  'user-tower.onnx',
  'user-tower-gradient.onnx',
  'item-tower.onnx',
  'item-tower-gradient.onnx',
] as const satisfies OpaqueFile[]

/** A folder that can be changed, as PyTorch wrote it at first. */
export async function importFolder(onEnd: OnEnd) {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'freshet-test-'))
  onEnd(() => fs.rm(dir, { recursive: true }))
  await fs.cp(fixtures.generation, path.join(dir, 'from'), { recursive: true })
  const store = openDirectoryStore(dir)
  const file = (name: string) => path.join(dir, 'from', name)
  const manifest = async (change: (json: ManifestJson) => void) => {
    const json = JSON.parse(await fs.readFile(file('manifest.json'), 'utf8')) as ManifestJson
    change(json)
    await fs.writeFile(file('manifest.json'), JSON.stringify(json))
  }
  const tensors = async (name: string, change: (tensors: Map<string, Tensor>) => void) => {
    const found = new Map(parseSafetensors(await fs.readFile(file(name))).tensors)
    change(found)
    await fs.writeFile(file(name), Buffer.concat(encodeSafetensors(found)))
  }
  const take = (changed: Partial<ImportOptions> = {}) =>
    importGeneration(store, 'from', { ...importOptions, ...changed })
  /** Towers of operators without a derived gradient, and their gradient graphs; vectors were made by others. */
  const takeOpaque = async (...names: OpaqueFile[]) => {
    for (const name of names) await fs.cp(path.join(fixtures.opaque, name), file(name))
    await fs.rm(file('item-vectors.safetensors'), { force: true })
  }
  return { dir, store, file, manifest, tensors, take, takeOpaque }
}
