/** Compiles only while the OpenAPI document and the contract fit each other. */

import type { components, operations } from './api'
import type * as contract from './contract'

type Schemas = components['schemas']
type Body<Operation extends { requestBody?: unknown }> = NonNullable<Operation['requestBody']> extends {
  content: { 'application/json': infer Content }
}
  ? Content
  : never
type Answer<Operation extends { responses: object }, Status extends keyof Operation['responses']> =
  Operation['responses'][Status] extends { content: { 'application/json': infer Content } } ? Content : never
/** True only where neither type takes more than the other. */
type Same<One, Other> = [One, Other] extends [Other, One] ? true : false
/** What the contract says of a job, without the parameters: a job's own are all there, the contract's need not be. */
type Beside<Job extends { config: object }> = Omit<Job, 'config'>

// What the server answers is what the frontend expects.
export const characters = (sent: Answer<operations['listCharacters'], 200>): contract.Character[] => sent
export const created = (sent: Answer<operations['createCharacter'], 201>): contract.Character => sent
export const updated = (sent: Answer<operations['updateCharacter'], 200>): contract.Character => sent
export const trainings = (sent: Answer<operations['listTrainings'], 200>): contract.TrainingJob[] => sent
export const training = (sent: Answer<operations['getTraining'], 200>): contract.TrainingJob => sent
export const started = (sent: Answer<operations['startTraining'], 201>): contract.TrainingJob => sent
export const stopped = (sent: Answer<operations['cancelTraining'], 200>): contract.TrainingJob => sent
export const trainingConfig = (sent: Schemas['TrainingConfig']): Required<contract.TrainingConfig> => sent
export const generations = (sent: Answer<operations['listGenerations'], 200>): contract.GenerationJob[] => sent
export const generation = (sent: Answer<operations['getGeneration'], 200>): contract.GenerationJob => sent
export const drawn = (sent: Answer<operations['startGeneration'], 201>): contract.GenerationJob => sent
export const withdrawn = (sent: Answer<operations['cancelGeneration'], 200>): contract.GenerationJob => sent
export const generationConfig = (sent: Schemas['GenerationConfig']): Required<contract.GenerationConfig> => sent

// What the frontend holds is what the server takes.
export const train = (config: contract.TrainingConfig): Body<operations['startTraining']> => ({
  character_id: 'char-abc123',
  config,
})
export const trainAgain = (job: contract.TrainingJob): Body<operations['startTraining']> => ({
  character_id: job.character_id,
  config: job.config,
})
export const draw = (config: contract.GenerationConfig): Body<operations['startGeneration']> => ({ config, count: 4 })
export const drawAgain = (job: contract.GenerationJob): Body<operations['startGeneration']> => ({ config: job.config })
export const keep = (
  made: Pick<contract.Character, 'name' | 'description' | 'trigger_word'>,
): Body<operations['createCharacter']> => made
export const rename = (name: contract.Character['name']): Body<operations['updateCharacter']> => ({ name })

// What the frontend keeps of an answer is still that answer: nothing is wider or narrower than was promised.
export const keptCharacter = (kept: contract.Character): Schemas['Character'] => kept
export const keptTraining = (
  kept: Beside<contract.TrainingJob>,
): Pick<Schemas['TrainingJob'], keyof Beside<contract.TrainingJob>> => kept
export const keptGeneration = (
  kept: Beside<contract.GenerationJob>,
): Pick<Schemas['GenerationJob'], keyof Beside<contract.GenerationJob>> => kept
export const sameStates: Same<Schemas['TrainingJob']['status'], contract.JobStatus> = true
export const sameStatesAgain: Same<Schemas['GenerationJob']['status'], contract.JobStatus> = true

// Every error is one sentence.
export const refused = (sent: Answer<operations['getTraining'], 404>): { detail: string } => sent

// What is not promised does not compile.
// @ts-expect-error: a job has no such state
export const unknownState: Schemas['TrainingJob']['status'] = 'paused'
// @ts-expect-error: there is no image without a prompt
export const withoutPrompt: Body<operations['startGeneration']> = { config: { width: 512 } }
// @ts-expect-error: a number that came as a text is refused
export const textForNumber: Body<operations['startTraining']> = { character_id: 'a', config: { steps: '500' } }
// @ts-expect-error: a seed may be null in a request, a width may not
export const nullForNumber: Body<operations['startGeneration']> = { config: { prompt: 'a', width: null } }
