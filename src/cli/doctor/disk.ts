import type { ControlDocument } from '../../records/types.ts'
import type { FolderFacts, StoredGeneration } from '../../runtime/doctor/disk.ts'
import type { HostFacts } from '../../runtime/doctor/host.ts'
import type { Told } from '../../runtime/doctor/told.ts'
import { ifTold, megabytes, ok, orOk, plural, problem, warning } from './check.ts'
import type { Check, Context, Finding } from './check.ts'

export interface DiskFacts {
  readonly folders: readonly FolderFacts[]
  readonly generations: Told<readonly StoredGeneration[]>
  readonly document: Told<ControlDocument | null>
  readonly memoryBytes: Told<HostFacts['memoryBytes']>
}

const leftoverMs = 3_600_000
/** With nothing to go by: a bootstrap generation, checkpoints, a day of examples. */
const freeAtLeast = 500e6
/** Row, accumulator and what V8 needs around an id. */
const bytesARow = (dim: number): number => dim * 4 + 4 + 100
/** Live, candidate and previous are trained side by side. */
const lineagesMax = 3

export const diskChecks: readonly Check<DiskFacts>[] = [
  {
    name: 'writable',
    judge: ({ folders }) =>
      folders.map(({ folder, problem: refusal }) =>
        refusal === null
          ? ok(`${folder} can be written`)
          : problem(
              `${folder} cannot be written`,
              refusal,
              `chown -R $(id -u) ${folder} && chmod -R u+rwX ${folder}, or another stateDir or artifacts.dir`,
            ),
      ),
  },
  {
    name: 'space',
    judge: ({ folders, generations }, { config }) => {
      const stored = generations.isTold ? generations.value : []
      // Its checkpoint lies beside it while it is trained, and the next may be larger.
      const needed = Math.max(freeAtLeast, 3 * Math.max(0, ...stored.map(({ bytes }) => bytes)))
      return folders.map(({ folder, freeBytes }) => {
        const what = `${folder}: ${megabytes(freeBytes)} free, ${megabytes(needed)} for the next generation`
        if (freeBytes >= needed) return ok(what)
        const why = 'the full update, the archive and checkpoints fail when it is full'
        const mend = `free ${megabytes(needed - freeBytes)}, or lower generations.keep (${config.generations.keep})`
        return (freeBytes < needed / 3 ? problem : warning)(what, why, mend)
      })
    },
  },
  {
    name: 'leftovers',
    judge: ({ folders }) =>
      orOk(
        folders.flatMap(({ folder, leftovers }) => {
          const old = leftovers.filter(({ ageMs }) => ageMs > leftoverMs).map(({ file }) => file)
          if (old.length === 0) return []
          const what = `${folder}: ${plural(old.length, 'temporary file')} left behind`
          const why = 'a writer was killed; nobody reads them'
          return [warning(what, why, `rm ${old.map(quoted).join(' ')}`)]
        }),
        'no temporary files left behind',
      ),
  },
  { name: 'generation-files', judge: judgeGenerations },
  {
    name: 'first-generation',
    judge: ({ generations, document }, { config, options }) => {
      const { first } = config.generations
      if (first === null || (document.isTold && document.value !== null)) {
        return [ok('generations.first is not needed')]
      }
      return ifTold(generations, (stored) => [
        stored.some(({ id }) => id === first)
          ? ok(`generations.first: ${first} is there`)
          : problem(
              `generations.first: ${first} is not in ${config.artifacts.dir}`,
              'the controller does not start',
              `npx freshet bootstrap --days <from>..<to>${options}, and its name as generations.first; or generations.first: null`,
            ),
      ])
    },
  },
  { name: 'memory', judge: judgeMemory },
]

function judgeGenerations(
  { generations, document }: DiskFacts,
  { options }: Context,
): readonly Finding[] {
  return ifTold(generations, (stored) => {
    const used = document.isTold && document.value !== null ? document.value : null
    const inUse = [used?.live, used?.candidate, used?.previous].filter(
      (id) => typeof id === 'string',
    )
    const broken = stored.flatMap(({ id, problems }) => {
      if (problems.length === 0) return []
      const isUsed = inUse.includes(id)
      const mend = isUsed
        ? `copy generations/${id} from another machine or a backup; or npx freshet rollback${options}`
        : `npx freshet generations${options} shows it; remove its folder, nothing uses it`
      const why = 'the learner cannot start from it, and no full update can go on from it'
      return [(isUsed ? problem : warning)(`${id}: ${problems.join('; ')}`, why, mend)]
    })
    const gone = inUse
      .filter((id) => stored.every((one) => one.id !== id))
      .map((id) =>
        problem(
          `${id} is in use, and not in the artifact store`,
          'a learner that starts, and the next full update, need its files',
          'artifacts.dir: the folder that the other roles use, shared over the network where they run elsewhere',
        ),
      )
    return orOk(
      [...broken, ...gone],
      `${plural(stored.length, 'generation')}, files as their manifests say`,
    )
  })
}

function judgeMemory({ generations, document, memoryBytes }: DiskFacts): readonly Finding[] {
  return ifTold(memoryBytes, (most) =>
    ifTold(generations, (stored) => {
      const live = document.isTold ? document.value?.live : undefined
      const found = stored.find(({ id }) => id === live) ?? stored.at(-1)
      if (found === undefined) return [ok('memory: no generation to hold yet')]
      const rows = found.users + found.items
      const needed = lineagesMax * rows * bytesARow(found.dim)
      const what = `memory: ${megabytes(most)}, ${plural(rows, 'row')} at a switch take ${megabytes(needed)}`
      const why = 'the learner holds the live, the previous and the next generation'
      const mend = `a memory limit of ${megabytes(needed * 2)} for the learner, or lower learner.userRowsMax and learner.itemRowsMax`
      return [needed <= most / 2 ? ok(what) : warning(what, why, mend)]
    }),
  )
}

function quoted(file: string): string {
  return `'${file.replaceAll("'", `'\\''`)}'`
}
