import { constants } from 'node:fs'
import fs from 'node:fs/promises'
import path from 'node:path'
import { messageOf } from '../../errors.ts'
import type { ArtifactStore } from '../generation/artifact-store.ts'
import { listGenerations, loadManifest } from '../generation/generation.ts'

export interface FolderFacts {
  /** As the configuration has it. */
  readonly folder: string
  /** Why nothing can be written there; null: it can, or the folder can be made. */
  readonly problem: string | null
  readonly freeBytes: number
  /** Files that a writer has left behind, with their ages. */
  readonly leftovers: readonly { readonly file: string; readonly ageMs: number }[]
}

export interface StoredGeneration {
  readonly id: string
  readonly bytes: number
  readonly users: number
  readonly items: number
  readonly dim: number
  /** Files that are missing or of another size than the manifest says, or why that cannot be read; empty: it is whole. */
  readonly problems: readonly string[]
}

export async function examineFolder(folder: string, nowMs: number): Promise<FolderFacts> {
  const existing = await nearestExisting(path.resolve(folder))
  const { bavail, bsize } = await fs.statfs(existing)
  return {
    folder,
    problem: await problemOf(existing),
    freeBytes: bavail * bsize,
    leftovers: existing === path.resolve(folder) ? await leftoversIn(existing, nowMs) : [],
  }
}

/** Looks at manifests and sizes; hashes would take too long. */
export async function storedGenerations(store: ArtifactStore): Promise<StoredGeneration[]> {
  return Promise.all((await listGenerations(store)).map((id) => describeStored(store, id)))
}

async function describeStored(store: ArtifactStore, id: string): Promise<StoredGeneration> {
  const bytes = await store.bytes(`generations/${id}`)
  try {
    const { files, counts, model } = await loadManifest(store, id)
    const problems: string[] = []
    for (const [file, expected] of Object.entries(files)) {
      const found = await store.bytes(`generations/${id}/${file}`)
      if (found !== expected.bytes) {
        problems.push(`${file} has ${found} bytes, the manifest says ${expected.bytes}`)
      }
    }
    return { id, bytes, users: counts.users, items: counts.items, dim: model.dim, problems }
  } catch (error) {
    return { id, bytes, users: 0, items: 0, dim: 0, problems: [messageOf(error)] }
  }
}

async function nearestExisting(place: string): Promise<string> {
  const isThere = await fs.lstat(place).then(
    () => true,
    () => false,
  )
  return isThere || place === path.dirname(place) ? place : nearestExisting(path.dirname(place))
}

async function problemOf(place: string): Promise<string | null> {
  try {
    if (!(await fs.stat(place)).isDirectory()) return `${place} is not a folder`
    await fs.access(place, constants.R_OK | constants.W_OK | constants.X_OK)
    return null
  } catch (error) {
    return messageOf(error)
  }
}

async function leftoversIn(folder: string, nowMs: number): Promise<FolderFacts['leftovers']> {
  const names = await fs.readdir(folder, { recursive: true }).catch(() => [])
  const found = names
    .filter((name) => name.endsWith('.tmp'))
    .map(async (name) => {
      const file = path.join(folder, name)
      const facts = await fs.stat(file).catch(() => null)
      return facts === null ? [] : [{ file, ageMs: nowMs - facts.mtimeMs }]
    })
  return (await Promise.all(found)).flat()
}
