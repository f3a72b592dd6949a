import fs from 'node:fs'
import path from 'node:path'
import { parse } from 'yaml'

const folder = 'monitoring'

export interface Rule {
  readonly record?: string
  readonly alert?: string
  readonly expr: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
}

export interface RuleTest {
  readonly input_series: readonly { readonly series: string }[]
  readonly promql_expr_test?: readonly { readonly expr: string }[]
  readonly alert_rule_test?: readonly {
    readonly alertname: string
    readonly exp_alerts: readonly unknown[]
  }[]
}

export interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly gridPos: {
    readonly x: number
    readonly y: number
    readonly w: number
    readonly h: number
  }
  readonly targets?: readonly { readonly expr: string }[]
}

export interface Dashboard {
  readonly uid: string
  readonly title: string
  readonly panels: readonly Panel[]
  readonly annotations: { readonly list: readonly { readonly expr: string }[] }
  readonly templating: {
    readonly list: readonly {
      readonly name: string
      readonly type: string
      readonly query: string | { readonly query: string }
    }[]
  }
}

const ruleFiles = fs.readdirSync(`${folder}/rules`).map((name) => `${folder}/rules/${name}`)

export const ruleTestFiles = ruleFiles.filter((name) => name.endsWith('.test.yml'))

export const rules: readonly Rule[] = ruleFiles
  .filter((name) => !ruleTestFiles.includes(name))
  .flatMap((name) => {
    const { groups } = read(name) as { groups: readonly { readonly rules: readonly Rule[] }[] }
    return groups.flatMap((group) => group.rules)
  })

export const alerts = rules.filter((rule) => rule.alert !== undefined)

export const ruleTests: readonly RuleTest[] = ruleTestFiles.flatMap(
  (name) => (read(name) as { tests: readonly RuleTest[] }).tests,
)

/** File name -> dashboard. */
export const dashboards: ReadonlyMap<string, Dashboard> = new Map(
  fs.readdirSync(`${folder}/grafana/dashboards`).map((name) => {
    const text = fs.readFileSync(`${folder}/grafana/dashboards/${name}`, 'utf8')
    return [path.basename(name, '.json'), JSON.parse(text) as Dashboard]
  }),
)

function read(file: string): unknown {
  return parse(fs.readFileSync(file, 'utf8'))
}
