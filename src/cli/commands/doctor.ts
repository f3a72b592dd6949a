import { InvalidArgumentError, type Command } from 'commander'
import { groupNames, type GroupName } from '../doctor/group-names.ts'
import { addCommonOptions, type CommonOptions } from '../options.ts'

export interface DoctorOptions extends CommonOptions {
  readonly only?: readonly GroupName[]
  readonly json?: boolean
}

export function addDoctorCommand(program: Command): void {
  addCommonOptions(program.command('doctor'))
    .description(
      'look at a deployment and say what is wrong and what mends it; changes nothing; exits with 1 where there is a problem',
    )
    .option('--only <groups>', `of ${groupNames.join(', ')}; several by commas`, parseGroups)
    .option('--json', 'print the findings as JSON')
    .action(async (options: DoctorOptions) =>
      (await import('../doctor.ts')).runDoctorCommand(options),
    )
}

function parseGroups(text: string): GroupName[] {
  return text.split(',').map((name) => {
    const known = groupNames.find((group) => group === name.trim())
    if (known !== undefined) return known
    throw new InvalidArgumentError(`${name} is none of ${groupNames.join(', ')}.`)
  })
}
