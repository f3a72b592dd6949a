import { messageOf } from '../../errors.ts'
import type { Side } from '../../model/spec.ts'
import { frozenSides } from '../../model/spec.ts'
import type { ControlDocument } from '../../records/types.ts'
import type { ArtifactStore } from './artifact-store.ts'
import { listGenerations, loadManifest } from './load.ts'
import type { GenerationManifest } from './manifest.ts'

/** A generation as the artifact store has it. */
export interface StoredGeneration {
  readonly id: string
  readonly bytes: number
  /** null where the manifest cannot be read. */
  readonly manifest: Omit<GenerationManifest, 'model' | 'files'> | null
  /** Sides whose rows do not learn. */
  readonly frozen: readonly Side[]
  readonly problem: string | null
}

/** Bootstrap generations first, then day by day, the one made last at the end. */
export async function storedGenerations(store: ArtifactStore): Promise<StoredGeneration[]> {
  const ids = await listGenerations(store)
  const stored = await Promise.all(
    ids.map(async (id) => {
      const bytes = await store.bytes(`generations/${id}`)
      try {
        const { model, files: _f, ...manifest } = await loadManifest(store, id)
        return { id, bytes, manifest, frozen: frozenSides(model), problem: null }
      } catch (error) {
        return { id, bytes, manifest: null, frozen: [], problem: messageOf(error) }
      }
    }),
  )
  return stored.sort((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1))
}

function placeOf({ id, manifest }: StoredGeneration): string {
  return `${manifest?.day ?? ''} ${manifest?.createdAt ?? ''} ${id}`
}

/** For people; null: the document does not name it. */
export function stateOf(id: string, document: ControlDocument | null): string | null {
  if (document === null) return null
  if (document.live === id) return 'live'
  if (document.candidate === id) return `candidate, ${document.states[id] ?? 'new'}`
  const state = document.states[id] ?? null
  return document.previous === id ? `previous${state === null ? '' : `, ${state}`}` : state
}
