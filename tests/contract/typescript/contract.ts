/** The types that the frontend was promised. They change only when the contract does. */

export type JobStatus = 'pending' | 'queued' | 'running' | 'completed' | 'failed' | 'cancelled'

export interface Character {
  id: string
  name: string
  description: string | null
  trigger_word: string
  created_at: string
  updated_at: string
  image_count: number
  lora_path: string | null
  lora_trained_at: string | null
}

export interface TrainingConfig {
  method: 'lora'
  steps: number
  learning_rate: number
  batch_size: number
  resolution: number
  lora_rank: number
  optimizer?: string
  scheduler?: string
  precision?: string
}

export interface TrainingJob {
  id: string
  character_id: string
  status: 'pending' | 'queued' | 'running' | 'completed' | 'failed' | 'cancelled'
  config: TrainingConfig
  progress: number
  current_step: number
  total_steps: number
  error_message: string | null
  created_at: string
  started_at: string | null
  completed_at: string | null
  output_path: string | null
}

export interface GenerationConfig {
  prompt: string
  negative_prompt: string
  width: number
  height: number
  steps: number
  guidance_scale: number
  seed: number | null
  lora_id: string | null
  lora_strength: number
  use_controlnet?: boolean
  use_ipadapter?: boolean
  use_facedetailer?: boolean
  use_upscale?: boolean
}

export interface GenerationJob {
  id: string
  status: 'pending' | 'queued' | 'running' | 'completed' | 'failed' | 'cancelled'
  config: GenerationConfig
  progress: number
  error_message: string | null
  created_at: string
  output_paths: string[]
}
